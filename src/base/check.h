// SPDX-License-Identifier: MIT
#pragma once

// An assertion that stays on in release builds: for bugs of ours, never for input from outside.

namespace eps {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define EPS_CHECK(condition)                               \
  do {                                                     \
    if (!(condition)) [[unlikely]]                         \
      ::eps::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
