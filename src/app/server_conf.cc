// SPDX-License-Identifier: MIT
#include "app/server_conf.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "app/conf_file.h"
#include "app/option_table.h"
#include "os/files.h"
#include "os/output_file.h"

namespace eps::app {
namespace {

constexpr mode_t kConfMode = 0600;

// The file itself where `path` is a link to it, or to where it would be: a rename would put a file in the link's place.
Result<std::string> resolve(const std::string& path) {
  auto place = os::find_output(path);
  if (!place) return place.error();
  return std::move(place->path);
}

std::string key_line(std::string_view key) {
  return "key = " + std::string(key) + "\n";
}

// Before the first section, because after it the line would apply to one program only.
std::string with_key_line(const std::string& text, std::string_view key) {
  std::size_t at = 0;
  while (at < text.size() && !trim(std::string_view(text).substr(at)).starts_with('[')) {
    const std::size_t end = text.find('\n', at);
    at = end == std::string::npos ? text.size() : end + 1;
  }
  const std::string head = text.substr(0, at);
  return head + (head.empty() || head.ends_with('\n') ? "" : "\n") + key_line(key) + text.substr(at);
}

Result<KeyFileOutcome> write_conf(const std::string& path, const std::string& text, KeyFileOutcome done,
                                  const struct stat* before) {
  if (auto written = os::write_file_atomic(path, text, kConfMode); !written) return written.error();
  // The owner of the file stays the same.
  if (before != nullptr && ::chown(path.c_str(), before->st_uid, before->st_gid) != 0 && errno != EPERM) {
    return make_error(Errc::permission, "cannot give " + path + " back to its owner", errno);
  }
  return done;
}

// The key that a client takes from the file.
std::optional<KeyFileOutcome> find_key(const std::vector<ConfLine>& lines, std::string_view key) {
  std::optional<KeyFileOutcome> found;
  for (const ConfLine& line : lines) {
    if (line.name != "key" || line.section == section_of(Program::server)) continue;
    if (line.value && *line.value == key) return KeyFileOutcome::present;
    found = KeyFileOutcome::differs;
  }
  return found;
}

std::string example_of(const OptionSpec& spec, const OptionSpec::In& in) {
  if (spec.name == "tls") return "auto";
  if (spec.kind == OptionSpec::Kind::flag) return "false";
  if (spec.name == "name") return "alice";
  if (spec.name == "http") return "9100";
  if (spec.name == "bridge") return "br0";
  if (spec.name == "proxy") return "http://proxy.example.com:3128";
  if (spec.name == "up") return "ip route add 192.168.7.0/24 dev $EPS_INTERFACE";
  if (spec.name == "down") return "logger $EPS_INTERFACE goes";
  return in.value.empty() ? "eps.example.com" : std::string(in.value);
}

// Those that are the same in both programs if `shared`, else those that are not.
void append_options(std::string& out, Program program, bool shared) {
  const Program sibling = sibling_of(program);
  for (const OptionSpec& spec : option_table()) {
    if (spec.command_line_only || !spec.is_of(program) || spec.name == "key") continue;
    const OptionSpec::In& in = spec.in(program);
    if ((spec.is_of(sibling) && in.value == spec.in(sibling).value) != shared) continue;
    out += "# " + std::string(in.help) + "\n#" + std::string(spec.name) + " = " + example_of(spec, in) + "\n";
  }
}

}  // namespace

std::string conf_template(std::string_view key) {
  std::string out =
      "# EPS Conduits: configuration of eps-server and eps-client.\n"
      "#\n"
      "# One option per line, as on the command line but without the dashes; the command line overrides this file. "
      "Lines\n"
      "# before [server] and [client] apply to both programs.\n"
      "#\n"
      "# Lines that are commented out show the defaults, with these exceptions: a client needs its server, and "
      "scorecard\n"
      "# and graphviz show the file that is written once they are set.\n"
      "\n"
      "# The network key: copy this line into the configuration file of every client, and keep it secret.\n" +
      (key.empty() ? "#" + key_line("eps1-...") : key_line(key)) + "\n# Both programs\n\n";
  append_options(out, Program::server, true);
  out += "\n[server]\n\n";
  append_options(out, Program::server, false);
  out += "\n[client]\n\n";
  append_options(out, Program::client, false);
  return out;
}

Result<KeyFileOutcome> find_conf_key(const std::string& given_path, std::string_view key) {
  const auto path = resolve(given_path);
  if (!path) return path.error();
  struct stat info {};
  if (::stat(path->c_str(), &info) != 0) {
    if (errno == ENOENT) return KeyFileOutcome::created;
    return make_error(Errc::permission, "cannot read " + *path, errno);
  }
  if (!S_ISREG(info.st_mode)) return make_error(Errc::unsupported, *path + " is not a regular file");
  const auto text = os::read_file(*path, kMaxConfSize);
  if (!text) return text.error();
  const auto lines = parse_conf(*text, *path);
  if (!lines) return lines.error();
  return find_key(*lines, key).value_or(KeyFileOutcome::added);
}

Result<KeyFileOutcome> ensure_conf_key(const std::string& given_path, std::string_view key) {
  auto outcome = find_conf_key(given_path, key);
  if (!outcome) return outcome;
  const auto path = resolve(given_path);
  if (!path) return path.error();
  if (*outcome == KeyFileOutcome::created) return write_conf(*path, conf_template(key), *outcome, nullptr);
  if (*outcome != KeyFileOutcome::added) return outcome;
  const auto text = os::read_file(*path, kMaxConfSize);
  if (!text) return text.error();
  struct stat before {};
  if (::stat(path->c_str(), &before) != 0) return make_error(Errc::permission, "cannot read " + *path, errno);
  return write_conf(*path, with_key_line(*text, key), *outcome, &before);
}

Result<bool> replace_conf_key(const std::string& given_path, const control::NetworkKey& key) {
  const auto path = resolve(given_path);
  if (!path) return path.error();
  struct stat before {};
  if (::stat(path->c_str(), &before) != 0 && errno == ENOENT) return true;
  const auto text = os::read_file(*path, kMaxConfSize);
  if (!text) return text.error();
  const auto lines = parse_conf(*text, *path);
  if (!lines) return lines.error();
  std::map<std::size_t, std::pair<std::string, std::string>> changes;  // by line: what goes, and what comes
  bool others = false;
  for (const ConfLine& line : *lines) {
    if (line.name != "key" || line.section == section_of(Program::server) || !line.value) continue;
    const auto present = control::parse_network_key(*line.value);
    const bool ours = present && present->server == key.server;
    others |= !ours;
    if (!ours || present->join_key != 0) continue;
    control::NetworkKey next = key.clone();
    next.lock = present->lock;
    changes[line.line] = {*line.value, control::to_text(next)};
  }
  std::string out;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size() - 1) + 1;
    std::string line = text->substr(at, end - at);
    at = end;
    if (const auto change = changes.find(++number); change != changes.end()) {
      const auto& [old, next] = change->second;
      line.replace(line.find(old, line.find('=')), old.size(), next);
    }
    out += line;
  }
  if (out == *text) return !others;
  const auto written = write_conf(*path, out, KeyFileOutcome::present, &before);
  if (!written) return written.error();
  return !others;
}

KeyFileNote note_of(const Result<KeyFileOutcome>& outcome, const std::string& path, const std::string& state) {
  const std::string eps_key = state == "/var/lib/eps" ? "\"eps key\"" : "\"eps key --state " + state + "\"";
  if (!outcome) {
    return {true, "The network key could not be written to the configuration file (" + outcome.error().what + "); " +
                      eps_key + " prints it."};
  }
  switch (*outcome) {
    case KeyFileOutcome::created:
      return {false, "The configuration file " + path + " is new and contains the network key for the clients."};
    case KeyFileOutcome::added:
      return {false, "The network key for the clients was added to the configuration file " + path + "."};
    case KeyFileOutcome::present:
      return {false, "The network key for the clients is in the configuration file " + path + "."};
    case KeyFileOutcome::differs:
      break;
  }
  return {true, "The key in the configuration file " + path +
                    " is not this server's; clients that use it are refused. Replace the line by the key that " +
                    eps_key + " prints."};
}

}  // namespace eps::app
