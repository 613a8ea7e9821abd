// SPDX-License-Identifier: MIT
#pragma once

// Strong types for numbers and addresses that must not be confused, with their text forms.

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace eps {

// A member's number in its network: assigned by the server, 1 to 2^24 - 1, never reassigned to another member as long
// as the server's state exists. 0 means "no member".
struct MemberId {
  std::uint32_t value = 0;
  auto operator<=>(const MemberId&) const = default;
};

// The X25519 static public key of a node.
struct PublicKey {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const PublicKey&) const = default;
};

struct Mac {
  std::array<std::byte, 6> bytes{};
  auto operator<=>(const Mac&) const = default;
  bool is_group() const { return (bytes[0] & std::byte{1}) != std::byte{0}; }
};
std::string to_string(const Mac& mac);
std::optional<Mac> parse_mac(std::string_view text);

// An IPv4 address; `value` is in host order.
struct Ip4 {
  std::uint32_t value = 0;
  auto operator<=>(const Ip4&) const = default;
};
std::string to_string(Ip4 ip);
std::optional<Ip4> parse_ip4(std::string_view text);

// An IPv4 network in canonical form: the host bits are zero.
struct Ip4Network {
  Ip4 base;
  std::uint8_t prefix = 0;  // 0 to 32
  auto operator<=>(const Ip4Network&) const = default;
  std::uint32_t mask() const { return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix); }
  bool contains(Ip4 ip) const { return (ip.value & mask()) == base.value; }
  bool overlaps(const Ip4Network& o) const { return contains(o.base) || o.contains(base); }
  Ip4 broadcast() const { return {base.value | ~mask()}; }
  // How many addresses are available to members: all but the network and broadcast addresses. REQUIRES: prefix <= 30.
  std::uint32_t host_count() const { return ~mask() - 1; }
};
std::string to_string(const Ip4Network& network);
// "10.0.8.0/24"; host bits must be zero.
std::optional<Ip4Network> parse_ip4_network(std::string_view text);

// An IPv4 or IPv6 address. IPv4 is stored in its IPv4-mapped IPv6 form, so that equal addresses compare equal.
struct IpAddress {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const IpAddress&) const = default;
  bool is_v4() const;
  Ip4 v4() const;  // REQUIRES: is_v4()
  bool is_link_local() const;
  bool is_loopback() const;
  bool is_unspecified() const;
  static IpAddress from_v4(Ip4 ip);
};
std::string to_string(const IpAddress& ip);
std::optional<IpAddress> parse_ip(std::string_view text);

// Source or destination of a UDP datagram.
struct Endpoint {
  IpAddress ip;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
  bool valid() const { return port != 0; }
};
std::string to_string(const Endpoint& endpoint);  // "192.0.2.1:43439", "[2001:db8::1]:43439"
std::optional<Endpoint> parse_endpoint(std::string_view text);

// 64-bit FNV-1a, for tables whose keys this program or the server chose; not for untrusted keys.
inline std::size_t hash_bytes(ByteView bytes) {
  std::uint64_t h = 0xcbf29ce484222325U;
  for (const std::byte b : bytes) h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3U;
  return h;
}

}  // namespace eps

template <>
struct std::hash<eps::MemberId> {
  std::size_t operator()(const eps::MemberId& id) const noexcept { return id.value; }
};
template <>
struct std::hash<eps::Mac> {
  std::size_t operator()(const eps::Mac& mac) const noexcept { return eps::hash_bytes(mac.bytes); }
};
template <>
struct std::hash<eps::PublicKey> {
  std::size_t operator()(const eps::PublicKey& key) const noexcept { return eps::hash_bytes(key.bytes); }
};
template <>
struct std::hash<eps::Endpoint> {
  std::size_t operator()(const eps::Endpoint& e) const noexcept { return eps::hash_bytes(e.ip.bytes) * 31 + e.port; }
};
