// SPDX-License-Identifier: MIT
#pragma once

// Paces the log's lines about one member, which it can cause as often as it likes: many at once, then one a minute. So
// nobody pushes everything else out of a log that is rolled by its size.

#include <cstdint>
#include <string>

#include "base/rate_limit.h"
#include "base/time.h"

namespace eps {

inline constexpr Duration kLinePause = std::chrono::minutes(1);
inline constexpr int kLinesAtOnce = 20;

class LinePace {
 public:
  // The line, and how many were left out since the last one; empty: it is left out itself.
  std::string pass(std::string line, Instant now) {
    constexpr Duration kBurst = (kLinesAtOnce - 1) * kLinePause;
    if (line.empty()) return line;
    if (!rate_.take(now, kLinePause, kBurst)) {
      ++left_out_;
      return "";
    }
    if (left_out_ == 1) line += " One such line before it was left out.";
    if (left_out_ > 1) line += " " + std::to_string(left_out_) + " such lines before it were left out.";
    left_out_ = 0;
    if (rate_.ready_at(kBurst) > now) line += " More of this member come at most once a minute.";
    return line;
  }

 private:
  RateLimit rate_;
  std::uint64_t left_out_ = 0;
};

}  // namespace eps
