// SPDX-License-Identifier: MIT
#pragma once

// The scope of an address.

#include <algorithm>
#include <array>

#include "base/types.h"

namespace eps {

// RFC 1918, unique local (RFC 4193) or link-local: meaningful only within its own network.
inline bool is_private(const IpAddress& ip) {
  if (!ip.is_v4()) return (ip.bytes[0] & std::byte{0xfe}) == std::byte{0xfc} || ip.is_link_local();
  constexpr std::array<Ip4Network, 3> kPrivate = {{{{0x0a000000}, 8}, {{0xac100000}, 12}, {{0xc0a80000}, 16}}};
  return std::ranges::any_of(kPrivate, [&](const Ip4Network& n) { return n.contains(ip.v4()); });
}

}  // namespace eps
