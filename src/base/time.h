// SPDX-License-Identifier: MIT
#pragma once

// The core never reads a clock: callers pass the time in, so there is deliberately no now() here.

#include <chrono>

namespace eps {

using Duration = std::chrono::nanoseconds;

// A monotonic clock that keeps running during sleep (CLOCK_BOOTTIME in the daemons, virtual in the simulation).
struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};
using Instant = BootClock::time_point;

inline constexpr Instant kNever = Instant::max();

}  // namespace eps
