// SPDX-License-Identifier: MIT
#pragma once

// The clock that the daemons hand to the core.

#include "base/time.h"

namespace eps::os {

// CLOCK_BOOTTIME: runs on while the machine sleeps, so a laptop that wakes sees its timers due.
Instant now();

}  // namespace eps::os
