// SPDX-License-Identifier: MIT
#include "app/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <sstream>

#include "report/text.h"

namespace eps::app {
namespace {

namespace po = boost::program_options;

// Descriptions start in column 24, as in the manual; on a narrow terminal further left.
constexpr unsigned kLineLength = 128, kColumn = 24;
constexpr unsigned kNarrow = 60, kNarrowColumn = 8, kLeastLineLength = 32;
constexpr int kStyle = po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent |
                       po::command_line_style::long_allow_next;

void add(po::options_description& group, const OptionSpec& spec, const OptionSpec::In& in) {
  const std::string name(spec.name), help(in.help), value(in.value);
  switch (spec.kind) {
    case OptionSpec::Kind::flag:
      group.add_options()(name.c_str(), help.c_str());
      return;
    case OptionSpec::Kind::optional_value:
      group.add_options()(name.c_str(), po::value<std::string>()->implicit_value(value), help.c_str());
      return;
    case OptionSpec::Kind::value:
      break;
  }
  auto* semantic = po::value<std::string>();
  if (!value.empty()) semantic->default_value(value);
  group.add_options()(name.c_str(), semantic, help.c_str());
}

po::options_description describe(Program program, unsigned line_length = kLineLength) {
  const unsigned description_length = line_length - (line_length < kNarrow ? kNarrowColumn : kColumn);
  po::options_description all(line_length, description_length);
  const auto add_group = [&](const char* caption, OptionSpec::Group which) {
    po::options_description group(caption, line_length, description_length);
    for (const OptionSpec& spec : option_table()) {
      if (spec.group == which && spec.is_of(program)) add(group, spec, spec.in(program));
    }
    all.add(group);
  };
  add_group("Common options", OptionSpec::Group::common);
  add_group("Logging and statistics", OptionSpec::Group::logging);
  add_group(program == Program::client ? "Client options" : "Server options", OptionSpec::Group::program);
  return all;
}

Error wrong(Program program, const std::string& sentence) {
  return make_error(Errc::invalid_argument, name_of(program) + ": " + sentence);
}

Error unknown_option(Program program, std::string name) {
  name.erase(0, name.find_first_not_of('-'));
  name.erase(std::min(name.find('='), name.size()));
  const Program sibling = sibling_of(program);
  if (const OptionSpec* spec = find_option(name); spec != nullptr && spec->is_of(sibling)) {
    return wrong(program, "--" + name + " is an option of " + name_of(sibling));
  }
  const std::string_view nearest = nearest_option(name, program);
  return wrong(program, "unknown option \"--" + quotable(name) + "\"" +
                            (nearest.empty() ? "; see " + name_of(program) + " --help"
                                             : "; did you mean \"--" + std::string(nearest) + "\"?"));
}

Error unexpected_argument(Program program, const std::string& text) {
  if (text.size() > 1 && text.front() == '-') {
    return wrong(program, "unknown option \"" + quotable(text) + "\"; see " + name_of(program) + " --help");
  }
  return wrong(program, "unexpected argument \"" + quotable(text) + "\"; see " + name_of(program) + " --help");
}

// Two things that Boost treats differently: the value of an optional value may be the next word, as in the manual's
// examples, and the next option is never the value of the previous one.
Result<std::vector<std::string>> join_values(Program program, const std::vector<std::string>& arguments) {
  std::vector<std::string> joined;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    joined.push_back(argument);
    const OptionSpec* spec = argument.starts_with("--") ? find_option(argument.substr(2)) : nullptr;
    if (spec == nullptr || !spec->is_of(program) || spec->kind == OptionSpec::Kind::flag) continue;
    const bool optional = spec->kind == OptionSpec::Kind::optional_value;
    if (i + 1 == arguments.size() || arguments[i + 1].starts_with("--")) {
      if (!optional) return wrong(program, argument + " needs a value");
      continue;
    }
    const std::string& value = arguments[++i];
    // Boost accepts anything behind "=", but as a word; errors in it are reported later.
    if (optional && !value.empty()) {
      joined.back() += "=" + value;
    } else {
      joined.push_back(value);
    }
  }
  return joined;
}

Given given(Program program, const po::option& option) {
  Given out;
  out.spec = find_option(option.string_key);
  out.where = name_of(program) + ": --" + option.string_key;
  if (out.spec->kind == OptionSpec::Kind::flag) {
    out.value = "true";
  } else if (option.value.empty()) {
    out.value = out.spec->in(program).value;
  } else {
    out.value = option.value.front();
    // Nothing secret is repeated.
    if (out.spec->name != "key" && out.spec->name != "proxy") out.where += " " + quotable(out.value);
  }
  return out;
}

}  // namespace

std::string help_text(Program program, std::size_t columns) {
  const auto fitting = std::clamp<std::size_t>(columns, kLeastLineLength, kLineLength);
  std::ostringstream out;
  out << describe(program, columns == 0 ? kLineLength : static_cast<unsigned>(fitting));
  std::string text = out.str();
  text.erase(0, text.find_first_not_of('\n'));
  return report::folded(text, columns);  // names and defaults that are too long
}

Result<std::vector<Given>> parse_command_line(Program program, const std::vector<std::string>& arguments) {
  const auto joined = join_values(program, arguments);
  if (!joined) return joined.error();
  try {
    const po::options_description known = describe(program);
    const auto parsed = po::command_line_parser(*joined).options(known).style(kStyle).run();
    std::vector<Given> out;
    for (const po::option& option : parsed.options) {
      if (option.string_key.empty()) {
        return unexpected_argument(program, option.value.empty() ? "" : option.value.front());
      }
      out.push_back(given(program, option));
    }
    return out;
  } catch (const po::unknown_option& e) {
    return unknown_option(program, e.get_option_name());
  } catch (const po::error& e) {
    return wrong(program, e.what());
  }
}

std::string quotable(std::string_view text) {
  constexpr std::size_t kMax = 80;
  std::string out(text.substr(0, kMax));
  std::string lower = out;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.find("eps1-") != std::string::npos) return "(a network key)";
  std::ranges::replace_if(
      out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text.size() > kMax ? out + "..." : out;
}

}  // namespace eps::app
