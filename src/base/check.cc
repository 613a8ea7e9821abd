// SPDX-License-Identifier: MIT
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/result.h"

namespace eps {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "eps: internal error: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}

void die_on_unchecked(const Error& error) {
  std::fprintf(stderr, "eps: internal error: the value of a failed operation was used: %s\n", error.what.c_str());
  std::abort();
}

}  // namespace eps
