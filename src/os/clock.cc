// SPDX-License-Identifier: MIT
#include "os/clock.h"

#include <ctime>

namespace eps::os {

Instant now() {
  timespec ts{};
  ::clock_gettime(CLOCK_BOOTTIME, &ts);  // cannot fail: the clock exists since Linux 2.6.39
  return Instant(std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec));
}

}  // namespace eps::os
