// SPDX-License-Identifier: MIT
#include "app/options.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "app/command_line.h"
#include "app/conf_file.h"
#include "app/option_values.h"
#include "app/version.h"
#include "model/network.h"
#include "os/files.h"

namespace eps::app {

std::string copy_of_conf(const Surroundings& here, const std::string& path) {
  if (here.credentials.empty()) return {};
  std::string copy = here.credentials + "/" + path.substr(path.rfind('/') + 1);
  return ::access(copy.c_str(), F_OK) == 0 ? copy : std::string();
}

std::string full_path(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).lexically_normal();
}

namespace {

constexpr std::uint64_t kMaxInterval = 86400;  // seconds: a day
constexpr std::uint64_t kMaxWorkers = 64;
constexpr std::uint64_t kMaxExpireAfter = 3650;    // days
constexpr std::uint64_t kMaxUpnpTimeout = 60'000;  // milliseconds

using Values = std::map<std::string_view, std::vector<Given>>;

// Each option's effective values: one set of values replaces another as a whole.
void override_with(Values& values, Values&& stronger) {
  for (auto& [name, given] : stronger) values[name] = std::move(given);
}

bool may_repeat(const OptionSpec& spec) {
  return spec.name == "server";
}

Error wrong(const std::string& where, const std::string& sentence) {
  return make_error(Errc::invalid_argument, where + ": " + sentence);
}

Result<Values> by_name(const std::vector<Given>& all) {
  Values values;
  for (const Given& given : all) {
    std::vector<Given>& same = values[given.spec->name];
    if (!same.empty() && !may_repeat(*given.spec)) return wrong(given.where, "is given twice");
    if (!given.off) same.push_back(given);
  }
  return values;
}

// The configuration file's part for `program`.
class ConfReader {
 public:
  ConfReader(Program program, const std::string& path) : program_(program), path_(path) {}

  Result<Values> read(std::string_view text) {
    const auto lines = parse_conf(text, path_);
    if (!lines) return lines.error();
    std::vector<Given> general, own;
    for (const ConfLine& line : *lines) {
      const OptionSpec* spec = find_option(line.name);
      const std::string where = path_ + ":" + std::to_string(line.line);
      if (spec == nullptr) return wrong(where, unknown(line.name));
      if (spec->command_line_only) {
        return wrong(where, "\"" + line.name + "\" can be given on the command line only");
      }
      if (!line.section.empty()) {
        const Program its = line.section == section_of(program_) ? program_ : sibling_of(program_);
        if (!spec->is_of(its)) {
          return wrong(where, "\"" + line.name + "\" is an option of " + name_of(sibling_of(its)) +
                                  ", but is in the section [" + line.section + "]");
        }
      }
      // Options for the other program are that program's to check.
      const bool ours = line.section.empty() || line.section == section_of(program_);
      // The server checks that there is a network key, but not which one.
      const bool key = line.name == "key" && line.section.empty() && program_ == Program::server;
      if (!ours || (!spec->is_of(program_) && !key)) continue;
      auto given = to_given(line, *spec, where);
      if (!given) return given.error();
      (line.section.empty() ? general : own).push_back(std::move(*given));
    }
    auto values = by_name(general);
    auto stronger = by_name(own);
    if (!values) return values;
    if (!stronger) return stronger;
    override_with(*values, std::move(*stronger));
    return values;
  }

 private:
  std::string unknown(const std::string& name) const {
    std::string_view nearest = nearest_option(name, program_);
    if (nearest.empty()) nearest = nearest_option(name, sibling_of(program_));
    const std::string hint = nearest.empty() ? "" : "; did you mean \"" + std::string(nearest) + "\"?";
    return "unknown option \"" + quotable(name) + "\"" + hint;
  }

  Result<Given> to_given(const ConfLine& line, const OptionSpec& spec, const std::string& where) const {
    Given given{&spec, line.value.value_or(""), false, where + ": " + line.name};
    if (line.value && spec.name != "key" && spec.name != "proxy") given.where += " = " + quotable(*line.value);
    switch (spec.kind) {
      case OptionSpec::Kind::flag:
        if (!line.value) given.value = "true";
        break;
      case OptionSpec::Kind::optional_value: {
        const auto on = line.value ? switch_value(*line.value) : Result<bool>(true);
        given.off = on && !*on;
        if (on) given.value = spec.in(program_).value;
        break;
      }
      case OptionSpec::Kind::value:
        if (!line.value) return wrong(given.where, "needs a value: " + line.name + " = VALUE");
        break;
    }
    return given;
  }

  Program program_;
  const std::string& path_;
};

// Extracts checked values from the given ones; stops at the first invalid one.
class Taker {
 public:
  explicit Taker(const Values& values) : values_(values) {}

  template <class Parse, class Store>
  void take(std::string_view name, Parse parse, Store store) {
    const auto it = values_.find(name);
    if (problem_ || it == values_.end()) return;
    for (const Given& given : it->second) {
      auto value = parse(std::string_view(given.value));
      if (!value) {
        problem_ = wrong(given.where, value.error().what);
        return;
      }
      store(std::move(*value));
    }
  }
  template <class Target, class Parse>
  void into(std::string_view name, Target& target, Parse parse) {
    take(name, parse, [&](auto value) { target = std::move(value); });
  }
  template <class Target>
  void number(std::string_view name, Target& target, std::uint64_t min, std::uint64_t max) {
    take(
        name, [=](std::string_view text) { return number_value(text, min, max); },
        [&](std::uint64_t value) { target = Target(value); });
  }
  const std::optional<Error>& problem() const { return problem_; }

 private:
  const Values& values_;
  std::optional<Error> problem_;
};

void take_common(Taker& from, Program program, runtime::CommonSettings& to) {
  to.version = version();
  to.log = find_option("log")->in(program).value;
  to.socket = find_option("socket")->in(program).value;
  from.into("state", to.state, path_value);
  from.into("socket", to.socket, socket_value);
  from.into("log", to.log, path_value);
  from.into("log-level", to.log_level, log_level_value);
  from.into("log-format", to.log_format, log_format_value);
  from.into("stats", to.stats, switch_value);
  from.into("scorecard", to.scorecard, path_value);
  from.into("http", to.http, http_value);
  from.into("scorecard-format", to.scorecard_format, scorecard_format_value);
  from.number("interval", to.interval, 1, kMaxInterval);
  from.number("port", to.port, 1, 65535);
  from.number("also-port", to.also_port, 0, 65535);
  from.into("tls", to.tls, tls_value);
  from.number("upnptimeout", to.upnp_timeout, 0, kMaxUpnpTimeout);
  from.into("offload", to.offload, offload_value);
  from.number("workers", to.workers, 0, kMaxWorkers);
  from.into("relay-limit", to.relay_limit, relay_limit_value);
}

void take(Taker& from, const Surroundings& here, runtime::ClientSettings& to) {
  take_common(from, Program::client, to);
  to.name = make_valid_name(here.hostname);
  from.take("server", servers_value,
            [&](std::vector<std::string> names) { to.servers.insert(to.servers.end(), names.begin(), names.end()); });
  from.into("key", to.key, key_value);
  from.number("udp-port", to.udp_port, 0, 65535);
  from.into("device", to.device, device_value);
  from.into("bridge", to.bridge, device_value);
  from.into("psk-file", to.psk_file, path_value);
  if (!to.psk_file.empty()) to.psk_copy = copy_of_conf(here, to.psk_file);
  from.into("up", to.up, command_value);
  from.into("down", to.down, command_value);
  from.into("name", to.name, name_value);
  from.into("accept-network", to.accepted, accepted_value);
  from.into("aead", to.aead, aead_value);
  from.into("dscp", to.copy_dscp, dscp_value);
  from.into("relay", to.relay, switch_value);
  // A proxy from the environment that does not work here was meant for other programs.
  if (const auto general = proxy_value(here.https_proxy); general && !here.https_proxy.empty()) to.proxy = *general;
  from.into("proxy", to.proxy, proxy_value);
  if (to.proxy) to.proxy->except = here.no_proxy;
}

void take(Taker& from, const Surroundings&, runtime::ServerSettings& to) {
  take_common(from, Program::server, to);
  from.take("network", networks_value, [&](const Networks& networks) {
    to.network = networks.v4.value_or(to.network);
    to.network6 = networks.v6;
  });
  from.into("sequential", to.sequential, switch_value);
  from.number("mtu", to.mtu, kMinMtu, kMaxMtu);
  from.number("expire-after", to.expire_after, 0, kMaxExpireAfter);
  from.into("graphviz", to.graphviz, path_value);
  from.into("key", to.configured_key, [](std::string_view text) { return Result<std::string>(std::string(text)); });
  from.number("graphviz-interval", to.graphviz_interval, 1, kMaxInterval);
}

// Conflicts between values that are valid by themselves.
std::optional<std::string> complaint(const runtime::ClientSettings& settings) {
  if (settings.servers.empty()) {
    return "eps-client: no server is named: write \"server = HOST\" into " + settings.conf + " or use --server HOST";
  }
  if (settings.servers.size() > kMaxServers) {
    return "eps-client: more than " + std::to_string(kMaxServers) + " names and addresses of the server are given";
  }
  if (settings.key.empty()) {
    return "eps-client: the network key is missing: copy the line \"key = eps1-...\" from the server's configuration "
           "file, or what \"eps key\" prints there, into " +
           settings.conf;
  }
  return std::nullopt;
}
std::optional<std::string> complaint(const runtime::ServerSettings& settings) {
  const auto same = [](const std::string& one, const std::string& other, std::uint16_t port) {
    return "eps-server: " + one + " and " + other + " are both " + std::to_string(port) + "; they must differ";
  };
  if (settings.also_port == settings.port) return same("port", "also-port", settings.port);
  if (settings.http && settings.http->port == settings.port) return same("port", "http", settings.port);
  if (settings.http && settings.http->port == settings.also_port) return same("also-port", "http", settings.also_port);
  return std::nullopt;
}

Stop usage(const std::string& sentence) {
  return {kExitUsage, sentence + "\n"};
}

// The content of the configuration file, read from its copy if there is one. No values if an optional file is missing.
Result<Values> read_conf(Program program, const std::string& path, const Surroundings& here, bool may_be_missing) {
  if (here.conf_text) return ConfReader(program, path).read(*here.conf_text);
  const std::string copy = copy_of_conf(here, path);
  const auto text = os::read_file(copy.empty() ? path : copy, kMaxConfSize);
  if (text) return ConfReader(program, path).read(*text);
  if (text.error().code == Errc::not_found) {
    if (may_be_missing) return Values();
    return make_error(Errc::invalid_argument,
                      name_of(program) + ": --conf " + quotable(path) + ": there is no such configuration file");
  }
  Error error = text.error();
  error.what = name_of(program) + ": " + error.what + (error.code == Errc::permission ? "; run with sudo" : "");
  return error;
}

template <class Settings>
Parsed<Settings> parse(Program program, const std::vector<std::string>& arguments, const Surroundings& here) {
  const auto given = parse_command_line(program, arguments);
  if (!given) return usage(given.error().what);
  auto command_line = by_name(*given);
  if (!command_line) return usage(command_line.error().what);
  if (command_line->contains("help")) return Stop{0, help_text(program, here.columns)};
  if (command_line->contains("version")) return Stop{0, version_line() + "\n"};

  Settings settings;
  settings.conf = here.default_conf;
  const bool named = command_line->contains("conf");
  Taker conf(*command_line);
  conf.into("conf", settings.conf, path_value);
  if (conf.problem()) return usage(conf.problem()->what);
  // The server makes the file that is missing.
  auto values = read_conf(program, settings.conf, here, program == Program::server || !named);
  if (!values) {
    return Stop{values.error().code == Errc::invalid_argument ? kExitUsage : kExitFailure, values.error().what + "\n"};
  }
  override_with(*values, std::move(*command_line));
  settings.conf_copied = !copy_of_conf(here, settings.conf).empty();

  Taker taker(*values);
  take(taker, here, settings);
  if (taker.problem()) return usage(taker.problem()->what);
  if (const auto sentence = complaint(settings)) return usage(*sentence);
  return settings;
}

std::string describe_common(const runtime::CommonSettings& s) {
  return "conf = " + s.conf + "\nstate = " + s.state + "\nsocket = " + s.socket + "\nlog = " + s.log +
         "\nlog-level = " + std::string(ops::name_of(s.log_level)) +
         "\nlog-format = " + std::string(ops::name_of(s.log_format)) +
         "\nhttp = " + (s.http ? to_string(*s.http) : "(off)") + "\nport = " + std::to_string(s.port) +
         "\nalso-port = " + std::to_string(s.also_port) + "\ntls = " +
         (!s.tls   ? "auto"
          : *s.tls ? "true"
                   : "false") +
         "\nupnptimeout = " + std::to_string(s.upnp_timeout.count()) +
         "\noffload = " + (s.offload ? to_string(*s.offload) : "auto") + "\nworkers = " + std::to_string(s.workers) +
         "\nrelay-limit = " + to_string(s.relay_limit);
}

}  // namespace

Parsed<runtime::ClientSettings> client_settings(const std::vector<std::string>& arguments, const Surroundings& here) {
  return parse<runtime::ClientSettings>(Program::client, arguments, here);
}

Parsed<runtime::ServerSettings> server_settings(const std::vector<std::string>& arguments, const Surroundings& here) {
  return parse<runtime::ServerSettings>(Program::server, arguments, here);
}

std::string describe(const runtime::ClientSettings& s) {
  std::string servers;
  for (const std::string& server : s.servers) servers += (servers.empty() ? "" : " ") + server;
  std::string accepted;
  for (const IpNetwork& network : s.accepted) accepted += (accepted.empty() ? "" : " ") + to_string(network);
  return describe_common(s) + "\nserver = " + servers + "\nudp-port = " + std::to_string(s.udp_port) +
         "\nkey = (not logged)\nname = " + s.name + "\ndevice = " + s.device +
         "\nbridge = " + (s.bridge.empty() ? "(none)" : s.bridge) +
         "\npsk-file = " + (s.psk_file.empty() ? "(none)" : s.psk_file) + "\nup = " + (s.up.empty() ? "(none)" : s.up) +
         "\ndown = " + (s.down.empty() ? "(none)" : s.down) + "\naccept-network = " + accepted + "\naead = " + s.aead +
         "\ndscp = " + (s.copy_dscp ? "copy" : "off") + "\nrelay = " + (s.relay ? "true" : "false") +
         "\nproxy = " + (s.proxy ? s.proxy->text() : "none");
}

std::string describe(const runtime::ServerSettings& s) {
  return describe_common(s) + "\nnetwork = " + to_string(s.network) + (s.network6 ? "," + to_string(*s.network6) : "") +
         "\nsequential = " + (s.sequential ? "true" : "false") + "\nmtu = " + std::to_string(s.mtu) +
         "\nexpire-after = " + std::to_string(s.expire_after);
}

}  // namespace eps::app
