// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

namespace eps::runtime {

// Seconds since 1970, for people and other programs; never for our own deadlines.
inline std::int64_t unix_time() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace eps::runtime
