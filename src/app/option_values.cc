// SPDX-License-Identifier: MIT
#include "app/option_values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "app/conf_file.h"
#include "control/network_key.h"
#include "crypto/aead.h"
#include "model/accepted_networks.h"
#include "model/network.h"

namespace eps::app {
namespace {

constexpr std::size_t kMaxDeviceName = 15;   // IFNAMSIZ - 1
constexpr std::size_t kMaxSocketPath = 107;  // sun_path with its terminator
constexpr std::size_t kMaxHostName = 253;
constexpr std::size_t kMaxPath = 4095;
constexpr std::size_t kMaxCommand = 4096;

Error must(std::string sentence) {
  return make_error(Errc::invalid_argument, std::move(sentence));
}

struct Range {
  Ip4Network network;
  const char* use;
};
constexpr std::array<Range, 5> kUnusable = {{
    {{{0x00000000}, 8}, "\"this\" network"},
    {{{0x7f000000}, 8}, "loopback"},
    {{{0xa9fe0000}, 16}, "link-local addresses"},
    {{{0xe0000000}, 4}, "multicast"},
    {{{0xf0000000}, 4}, "future use"},
}};

bool is_host(std::string_view text) {
  if (parse_ip(text)) return true;
  if (text.empty() || text.size() > kMaxHostName || text.front() == '-' || text.front() == '.') return false;
  if (const std::size_t zone = text.find('%'); zone != std::string_view::npos) {
    return zone + 1 < text.size() && parse_ip(text.substr(0, zone)).has_value();
  }
  return std::ranges::all_of(
      text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_' || c >= 0x80; });
}

}  // namespace

Result<std::uint64_t> number_value(std::string_view text, std::uint64_t min, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < min || value > max) {
    return must("must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return value;
}

Result<bool> switch_value(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kOn = {"true", "yes", "on", "1"}, kOff = {"false", "no", "off", "0"};
  if (std::ranges::count(kOn, text) != 0) return true;
  if (std::ranges::count(kOff, text) != 0) return false;
  return must("must be true, yes, on or 1, or false, no, off or 0");
}

Result<std::optional<bool>> tls_value(std::string_view text) {
  if (text == "auto") return std::optional<bool>();
  const auto on = switch_value(text);
  if (!on) return must("must be auto, true or false");
  return std::optional(*on);
}

Result<Ip4Network> network_value(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto base = parse_ip4(text.substr(0, slash));
  if (!base) return must("must be an IPv4 network such as 192.168.99.0/24");
  if (slash == std::string_view::npos) {
    return must("needs the size of the network, such as " + std::string(text) + "/24");
  }
  const auto prefix = number_value(text.substr(slash + 1), 8, 30);
  if (!prefix) return must("the size of the network must be from /8 to /30");
  Ip4Network network{*base, static_cast<std::uint8_t>(*prefix)};
  network.base.value &= network.mask();
  if (network.base != *base) return must("is the address of a host; did you mean " + to_string(network) + "?");
  for (const Range& range : kUnusable) {
    if (!network.overlaps(range.network)) continue;
    return must("cannot be used: " + to_string(range.network) + " is for " + range.use +
                "; choose a private network such as 10.0.8.0/24");
  }
  return network;
}

Result<Networks> networks_value(std::string_view text) {
  Networks out;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    const std::string_view one = trim(text.substr(0, comma));
    more = comma != std::string_view::npos;
    text = more ? text.substr(comma + 1) : "";
    if (one.find(':') == std::string_view::npos) {
      if (out.v4) return must("names two IPv4 networks; give one of each family, such as 192.168.43.0/24,fd43::/64");
      auto v4 = network_value(one);
      if (!v4) return v4.error();
      out.v4 = *v4;
      continue;
    }
    if (out.v6) return must("names two IPv6 networks; give one of each family, such as 192.168.43.0/24,fd43::/64");
    out.v6 = parse_ip_network(one);
    if (!out.v6 || !usable_network6(*out.v6)) {
      return must("must be an IPv6 network of /64 without the bits of a host, such as fd43::/64, or an IPv4 one");
    }
  }
  return out;
}

Result<std::vector<std::string>> servers_value(std::string_view text) {
  std::vector<std::string> out;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    std::string_view host = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(host.size());
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (const auto ip = parse_ip(host.substr(0, host.find('%'))); ip && !ip->is_v4() && ip->is_link_local()) {
      return must("must not be an IPv6 link-local address: choose another one of the server");
    }
    if (!is_host(host)) {
      if (parse_endpoint(host) || std::ranges::count(host, ':') == 1) {
        return must("is given without a port: that is the option port");
      }
      return must(host.find_first_of(",;") != std::string_view::npos
                      ? "several servers are separated by blanks"
                      : "must be an IP address or the name of a computer, or several separated by blanks");
    }
    out.emplace_back(host);
  }
  if (out.empty()) return must("needs an IP address or the name of a computer");
  if (out.size() > kMaxServers) return must("names more than " + std::to_string(kMaxServers) + " servers");
  return out;
}

Result<std::string> path_value(std::string_view text) {
  if (text.empty() || text.size() > kMaxPath || text.find('\0') != std::string_view::npos) {
    return must("must be the name of a file or directory");
  }
  return std::string(text);
}

Result<std::string> socket_value(std::string_view text) {
  if (text.size() > kMaxSocketPath) {
    return must("must have at most " + std::to_string(kMaxSocketPath) + " characters, as every Unix socket");
  }
  return path_value(text);
}

Result<std::string> command_value(std::string_view text) {
  if (trim(text).empty() || text.size() > kMaxCommand || text.find('\0') != std::string_view::npos) {
    return must("must be a command of at most " + std::to_string(kMaxCommand) + " characters");
  }
  return std::string(text);
}

Result<std::string> device_value(std::string_view text) {
  const bool clean = std::ranges::all_of(
      text, [](unsigned char c) { return c > 0x20 && c < 0x7f && c != '/' && c != ':' && c != '%'; });
  if (text.empty() || text.size() > kMaxDeviceName || !clean || text == "." || text == "..") {
    return must("must have 1 to " + std::to_string(kMaxDeviceName) + " characters and no blank, '/', ':' or '%'");
  }
  return std::string(text);
}

Result<std::string> name_value(std::string_view text) {
  if (valid_name(text)) return std::string(text);
  return must("must have 1 to " + std::to_string(kMaxNameSize) + " letters, digits, '-', '_' or '.'; did you mean " +
              make_valid_name(text) + "?");
}

Result<std::optional<runtime::Proxy>> proxy_value(std::string_view text) {
  if (text == "none") return std::optional<runtime::Proxy>();
  auto proxy = runtime::parse_proxy(text);
  if (!proxy) return proxy.error();
  return std::optional(std::move(*proxy));
}

Result<std::vector<IpNetwork>> accepted_value(std::string_view text) {
  std::vector<IpNetwork> out;
  const auto add = [&](const std::vector<IpNetwork>& networks) {
    out.insert(out.end(), networks.begin(), networks.end());
  };
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    if (word == "private") {
      add(private_networks());
    } else if (word == "any") {
      add({*parse_ip_network("0.0.0.0/0"), *parse_ip_network("::/0")});
    } else if (const auto network = parse_ip_network(word); network && word.find('/') != std::string_view::npos) {
      add({*network});
    } else {
      return must("must be private, any, or networks such as 203.0.113.0/24, separated by blanks");
    }
  }
  if (out.empty()) return must("must be private, any, or networks such as 203.0.113.0/24, separated by blanks");
  return out;
}

Result<std::string> aead_value(std::string_view text) {
  if (text == "auto" || crypto::parse_aead_kind(text)) return std::string(text);
  return must("must be auto, aes-256-gcm, aes-128-gcm or chacha20-poly1305");
}

Result<bool> dscp_value(std::string_view text) {
  if (text == "copy" || text == "off") return text == "copy";
  return must("must be copy or off");
}

Result<std::optional<OffloadSet>> offload_value(std::string_view text) {
  if (text == "auto") return std::optional<OffloadSet>();
  const auto set = parse_offloads(text);
  if (!set) return must("must be auto, none, or some of csum, tso, uso, gso and gro, separated by commas");
  if (!set->csum && (set->tso || set->uso)) {
    return must("tso and uso need csum: super-frames have no finished checksum; did you mean csum," +
                std::string(text) + "?");
  }
  return set;
}

Result<Endpoint> http_value(std::string_view text) {
  if (const auto port = number_value(text, 1, 65535)) {
    return Endpoint{IpAddress::from_v4({0x7f000001}), static_cast<std::uint16_t>(*port)};
  }
  if (const auto endpoint = parse_endpoint(text); endpoint && endpoint->valid()) return *endpoint;
  return must("must be a port such as 9100, or an address and a port such as 127.0.0.1:9100 or [::1]:9100");
}

Result<RelayLimit> relay_limit_value(std::string_view text) {
  if (const auto limit = parse_relay_limit(text)) return *limit;
  return must(
      "must be 0, or a rate such as 50mbit (64kbit to 1000gbit), packets such as 20000pps (at least 50pps), a volume "
      "such as 100GB/day (1MB/day to 1000TB/day), or several of these separated by commas, each once");
}

Result<report::ScorecardFormat> scorecard_format_value(std::string_view text) {
  if (const auto format = report::parse_scorecard_format(text)) return *format;
  return must("must be keys, prometheus or json");
}

Result<ops::LogLevel> log_level_value(std::string_view text) {
  if (const auto level = ops::parse_log_level(text)) return *level;
  return must("must be trace, debug, info, warn or error");
}

Result<ops::LogFormat> log_format_value(std::string_view text) {
  if (const auto format = ops::parse_log_format(text)) return *format;
  return must("must be text or json");
}

Result<std::string> key_value(std::string_view text) {
  if (text.empty()) return must("must be the line that \"eps key\" prints on the server, eps1-...");
  if (const auto key = control::parse_network_key(text); !key) return must(key.error().what);
  return std::string(trim(text));
}

}  // namespace eps::app
