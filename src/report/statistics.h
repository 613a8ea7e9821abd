// SPDX-License-Identifier: MIT
#pragma once

// What --stats writes to the log, in the form that the manual shows. Units are SI.

#include <chrono>
#include <cstdint>
#include <string>

#include "model/status.h"

namespace eps::report {

// Counted since the program started.
struct Totals {
  TrafficTotals traffic;
  std::uint64_t connections_established = 0;
};

// What came between two looks at the counters, which never go back.
Totals operator-(const Totals& now, const Totals& before);

// "in: 3.81 MBps (30.50 Mbps), out: 0.00 Bps (0.00 bps), fwd: …". REQUIRES: seconds > 0.
std::string rates_line(const Totals& passed, double seconds);
// "EPS statistics:", then the figures of the interval and the totals; those that are zero are left out.
std::string statistics_text(const Totals& passed, const Totals& total, std::chrono::seconds interval);

}  // namespace eps::report
