// SPDX-License-Identifier: MIT
#pragma once

// An IPv4 or IPv6 network, where the family does not matter.

#include <cstdint>

#include "base/types.h"

namespace eps {

struct IpPrefix {
  IpAddress base;
  std::uint8_t length = 0;  // of the address's own family
  auto operator<=>(const IpPrefix&) const = default;

  bool contains(const IpAddress& ip) const {
    if (ip.is_v4() != base.is_v4()) return false;
    const unsigned bits = length + (base.is_v4() ? 96U : 0U);  // IPv4 is kept as a mapped address
    for (unsigned i = 0; i < 16; ++i) {
      if (i * 8 >= bits) return true;
      const unsigned left = bits - i * 8;
      const auto mask = static_cast<unsigned char>(left >= 8 ? 0xff : 0xff << (8 - left));
      const auto differs = std::to_integer<unsigned char>(base.bytes[i] ^ ip.bytes[i]);
      if ((differs & mask) != 0) return false;
    }
    return true;
  }
};

}  // namespace eps
