// SPDX-License-Identifier: MIT
#include "app/conf_file.h"

namespace eps::app {
namespace {

constexpr std::string_view kBlanks = " \t\r";

// "#" begins a comment at the start of a line and behind a blank, but not inside double quotes.
std::string_view without_comment(std::string_view line) {
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    if (line[i] == '#' && !quoted && (i == 0 || kBlanks.find(line[i - 1]) != std::string_view::npos)) {
      return line.substr(0, i);
    }
  }
  return line;
}

std::string_view without_quotes(std::string_view value) {
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return quoted ? value.substr(1, value.size() - 2) : value;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.find_first_of(" \t\"[]") == std::string_view::npos;
}

}  // namespace

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

Result<std::vector<ConfLine>> parse_conf(std::string_view text, const std::string& path) {
  std::vector<ConfLine> out;
  std::string section;
  std::size_t number = 0;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const auto wrong = [&](std::string_view sentence) {
    return make_error(Errc::invalid_argument, path + ":" + std::to_string(number) + ": " + std::string(sentence));
  };
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(without_comment(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    if (line.front() == '[') {
      if (line != "[server]" && line != "[client]") return wrong("unknown section; there are [server] and [client]");
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string_view name = trim(line.substr(0, equals));
    if (!is_name(name)) return wrong("expected a line of the form NAME = VALUE");
    ConfLine& entry = out.emplace_back(ConfLine{number, section, std::string(name), std::nullopt});
    if (equals != std::string_view::npos) entry.value = without_quotes(trim(line.substr(equals + 1)));
  }
  return out;
}

}  // namespace eps::app
