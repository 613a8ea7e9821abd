// SPDX-License-Identifier: MIT
#pragma once

// An assertion that stays on in release builds. It is for bugs in this program, never for input from outside.

namespace eps {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

// Without the path, which would make the programs depend on the directory that they are built in.
#define EPS_CHECK(condition)                                    \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::eps::check_failed(#condition, __FILE_NAME__, __LINE__); \
  } while (false)
