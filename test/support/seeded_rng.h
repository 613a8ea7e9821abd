// SPDX-License-Identifier: MIT
#pragma once

#include <random>

#include "base/rng.h"

namespace eps::test {

// A reproducible Rng for tests and the simulation.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : engine_(seed) {}
  void fill(ByteSpan out) override {
    for (std::byte& b : out) b = static_cast<std::byte>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace eps::test
