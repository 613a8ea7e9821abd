// SPDX-License-Identifier: MIT
#include "os/os_rng.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace eps::os {

void OsRng::fill(ByteSpan out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      EPS_CHECK(errno == EINTR);  // nothing else can fail, and without randomness there is no going on
      continue;
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace eps::os
