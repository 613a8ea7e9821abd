// SPDX-License-Identifier: MIT
#pragma once

// Time in the core is a value that callers pass in. There is no now() here on purpose.

#include <chrono>

namespace eps {

using Duration = std::chrono::nanoseconds;

// A monotonic clock that runs on while the machine sleeps (CLOCK_BOOTTIME in the daemons, virtual in the simulation).
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
