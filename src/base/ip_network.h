// SPDX-License-Identifier: MIT
#pragma once

// A prefix of either family: addresses that a member may use in addition to its own.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace eps {

// In canonical form: the host bits are zero. IPv4 keeps its IPv4-mapped form and a length of 96 to 128, so that one
// comparison serves both families and no IPv6 prefix takes IPv4 addresses in.
struct IpNetwork {
  IpAddress base;
  std::uint8_t length = 0;  // 0 to 128
  auto operator<=>(const IpNetwork&) const = default;
  bool contains(const IpAddress& ip) const;
  bool overlaps(const IpNetwork& o) const { return contains(o.base) || o.contains(base); }
  static IpNetwork from_v4(const Ip4Network& network);
};
std::string to_string(const IpNetwork& network);  // "192.168.43.50/32", "fd99::/64"
// Whether it is in canonical form; IPv4 must have a length of IPv4.
bool valid(const IpNetwork& network);
// A single address is a network with all its bits. nullopt also where host bits are not zero.
std::optional<IpNetwork> parse_ip_network(std::string_view text);

// The key by which limits per source count: an IPv4 address itself, or the first address of the /64 of an IPv6 address,
// because one subscriber has a whole /64.
IpAddress subscriber_of(const IpAddress& ip);

}  // namespace eps
