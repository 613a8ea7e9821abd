// SPDX-License-Identifier: MIT
#include "base/types.h"

#include <arpa/inet.h>  // inet_pton and inet_ntop: text forms only

#include <charconv>

namespace eps {
namespace {

constexpr std::array<std::byte, 12> kMappedPrefix = {std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                                     std::byte{0}, std::byte{0}, std::byte{0},    std::byte{0},
                                                     std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};

template <class Int>
std::optional<Int> parse_number(std::string_view text, Int max) {
  Int value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::string to_string(const Mac& mac) {
  std::string out = to_hex(mac.bytes);
  for (std::size_t at = 2; at < out.size(); at += 3) out.insert(at, 1, ':');
  return out;
}

std::optional<Mac> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2) {
      if (text[i] != ':') return std::nullopt;
    } else {
      digits.push_back(text[i]);
    }
  }
  const auto raw = from_hex(digits);
  if (!raw) return std::nullopt;
  Mac mac;
  std::memcpy(mac.bytes.data(), raw->data(), 6);
  return mac;
}

std::string to_string(Ip4 ip) {
  return to_string(IpAddress::from_v4(ip));
}

std::optional<Ip4> parse_ip4(std::string_view text) {
  const auto ip = parse_ip(text);
  if (!ip || !ip->is_v4()) return std::nullopt;
  return ip->v4();
}

std::string to_string(const Ip4Network& network) {
  return to_string(network.base) + "/" + std::to_string(network.prefix);
}

std::optional<Ip4Network> parse_ip4_network(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto base = parse_ip4(text.substr(0, slash));
  const auto prefix = parse_number<unsigned>(text.substr(slash + 1), 32);
  if (!base || !prefix) return std::nullopt;
  const Ip4Network network{*base, static_cast<std::uint8_t>(*prefix)};
  if ((base->value & ~network.mask()) != 0) return std::nullopt;
  return network;
}

bool IpAddress::is_v4() const {
  return std::memcmp(bytes.data(), kMappedPrefix.data(), 12) == 0;
}
Ip4 IpAddress::v4() const {
  return {load_be32(bytes.data() + 12)};
}
bool IpAddress::is_link_local() const {
  if (is_v4()) return (v4().value >> 16) == 0xa9fe;
  return bytes[0] == std::byte{0xfe} && (bytes[1] & std::byte{0xc0}) == std::byte{0x80};
}
bool IpAddress::is_loopback() const {
  if (is_v4()) return (v4().value >> 24) == 127;
  return load_be64(bytes.data()) == 0 && load_be64(bytes.data() + 8) == 1;
}
bool IpAddress::is_unspecified() const {
  if (is_v4()) return v4().value == 0;
  return *this == IpAddress{};
}
IpAddress IpAddress::from_v4(Ip4 ip) {
  IpAddress out;
  std::memcpy(out.bytes.data(), kMappedPrefix.data(), 12);
  store_be32(out.bytes.data() + 12, ip.value);
  return out;
}

std::string to_string(const IpAddress& ip) {
  char text[INET6_ADDRSTRLEN] = {};
  if (ip.is_v4()) {
    inet_ntop(AF_INET, ip.bytes.data() + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, ip.bytes.data(), text, sizeof text);
  }
  return text;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  const std::string copy(text);
  IpAddress ip;
  std::array<std::byte, 4> raw;
  if (inet_pton(AF_INET, copy.c_str(), raw.data()) == 1) return IpAddress::from_v4({load_be32(raw.data())});
  if (inet_pton(AF_INET6, copy.c_str(), ip.bytes.data()) == 1) return ip;
  return std::nullopt;
}

std::string to_string(const Endpoint& endpoint) {
  const std::string ip = to_string(endpoint.ip);
  return (endpoint.ip.is_v4() ? ip : "[" + ip + "]") + ":" + std::to_string(endpoint.port);
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = parse_ip(host);
  const auto port = parse_number<unsigned>(text.substr(colon + 1), 65535);
  if (!ip || !port || bracketed == ip->is_v4()) return std::nullopt;
  return Endpoint{*ip, static_cast<std::uint16_t>(*port)};
}

}  // namespace eps
