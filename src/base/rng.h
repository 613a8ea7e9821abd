// SPDX-License-Identifier: MIT
#pragma once

// Randomness in the core is an injected source: the operating system's in the daemons, a seeded one in tests.

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace eps {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(ByteSpan out) = 0;

  std::uint64_t u64() {
    std::array<std::byte, 8> raw;
    fill(raw);
    return load_be64(raw.data());
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(u64()); }
  // Uniform in [0, bound). REQUIRES: bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t reject_under = (0 - bound) % bound;
    for (;;) {
      if (const std::uint64_t v = u64(); v >= reject_under) return v % bound;
    }
  }
};

}  // namespace eps
