// SPDX-License-Identifier: MIT
#include "runtime/proxy.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "base/ip_network.h"
#include "base/types.h"

namespace eps::runtime {
namespace {

std::string in_brackets(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
  return in_brackets(host) + ":" + std::to_string(port);
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const char* const first = text.data() + i + 1;
    if (i + 2 >= text.size() || std::from_chars(first, first + 2, value, 16).ptr != first + 2) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

// RFC 4648, section 4.
std::string base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, text.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = group << 8 | (k < n ? static_cast<unsigned char>(text[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// One entry of no_proxy: "*", an address, a network, or a domain, which includes all names in it.
bool covers(std::string_view entry, std::string_view host) {
  if (entry == "*") return true;
  if (const auto address = parse_ip(host)) {
    const auto network = parse_ip_network(entry);
    return network && network->contains(*address);
  }
  if (entry.starts_with('.')) entry.remove_prefix(1);
  if (entry.empty() || host.size() < entry.size()) return false;
  const std::string_view rest = host.substr(0, host.size() - entry.size());
  return same_text(host.substr(rest.size()), entry) && (rest.empty() || rest.ends_with('.'));
}

Error no_proxy_url(const char* why) {
  return make_error(Errc::invalid_argument,
                    std::string("must be HOST:PORT, http://HOST:PORT or http://USER:PASSWORD@HOST:PORT; it ") + why);
}

}  // namespace

std::string Proxy::text() const {
  return host_and_port(host, port);
}

bool Proxy::leads_to(std::string_view server) const {
  std::string_view rest = except;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(", \t"), rest.size());
    const std::string_view entry = rest.substr(0, end);
    if (!entry.empty() && covers(entry, server)) return false;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return true;
}

Result<Proxy> parse_proxy(std::string_view text) {
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    if (!same_text(text.substr(0, scheme), "http")) return no_proxy_url("has an unknown scheme");
    text.remove_prefix(scheme + 3);
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  Proxy out;
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    const auto credentials = percent_decoded(text.substr(0, at));
    if (!credentials) return no_proxy_url("has a % in user or password without two hexadecimal digits");
    out.credentials = *credentials;
    if (out.credentials.find(':') == std::string::npos) out.credentials += ':';
    text.remove_prefix(at + 1);
  }
  std::string_view port = "80";
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return no_proxy_url("lacks a ]");
    out.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (!text.empty() && text[0] != ':') return no_proxy_url("has something behind the ]");
    if (!text.empty()) port = text.substr(1);
    if (!parse_ip(out.host)) return no_proxy_url("has no address in its brackets");
  } else {
    const std::size_t colon = text.find(':');
    out.host = text.substr(0, colon);
    if (colon != std::string_view::npos) port = text.substr(colon + 1);
  }
  const bool clean = std::ranges::all_of(
      out.host, [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':'; });
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), out.port);
  const bool number = parsed.ec == std::errc() && parsed.ptr == port.data() + port.size() && out.port != 0;
  if (out.host.empty() || !clean) return no_proxy_url("names no host");
  if (!number) return no_proxy_url("has an invalid port");
  return out;
}

std::string connect_request(const Proxy& proxy, const std::string& host, std::uint16_t port) {
  const std::string to = host_and_port(host, port);
  std::string out = "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n";
  if (!proxy.credentials.empty()) out += "Proxy-Authorization: Basic " + base64(proxy.credentials) + "\r\n";
  return out + "\r\n";
}

std::string connect_failure(const Proxy& proxy, const std::string& host, std::uint16_t port, std::string_view answer) {
  const std::string_view line = answer.substr(0, answer.find_first_of("\r\n"));
  const std::size_t blank = line.find(' ');
  const bool http = line.starts_with("HTTP/1.") && blank != std::string_view::npos;
  const std::string_view status = http ? line.substr(blank + 1) : "";
  if (status.starts_with('2')) return "";
  const std::string name = "the proxy " + proxy.text();
  if (!http) return name + " does not answer as an HTTP proxy";
  if (status.starts_with("407")) {
    return name +
           (proxy.credentials.empty() ? " wants a user and a password" : " does not accept the user and the password") +
           ": proxy = http://USER:PASSWORD@" + proxy.text();
  }
  std::string said;
  for (const char c : status.substr(0, 60)) said += std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?';
  return name + " does not connect to " + host_and_port(host, port) + " (" + said +
         "): many let port 443 through only, which the server takes with --also-port 443";
}

}  // namespace eps::runtime
