// SPDX-License-Identifier: MIT
#pragma once

// The seeds of a test of the simulation: EPS_SIM_SEED=N runs that one alone, EPS_SIM_SEEDS=N the first N.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace eps::sim {

inline std::vector<std::uint64_t> seeds() {
  if (const char* one = std::getenv("EPS_SIM_SEED")) return {std::strtoull(one, nullptr, 10)};
  const char* many = std::getenv("EPS_SIM_SEEDS");
  const std::uint64_t count = many != nullptr ? std::strtoull(many, nullptr, 10) : 20;
  std::vector<std::uint64_t> out;
  for (std::uint64_t seed = 1; seed <= count; ++seed) out.push_back(seed);
  return out;
}

// How the failure of a parameterized test names its seed.
inline std::string seed_name(const testing::TestParamInfo<std::uint64_t>& test) {
  return "seed" + std::to_string(test.param);
}

}  // namespace eps::sim
