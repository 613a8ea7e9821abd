// SPDX-License-Identifier: MIT
#pragma once

// Limits what one member causes by coming again and again: lines in the log, and changes of its name, each of which is
// written to the disk, signed, sent to every other member and remembered there.

#include <string>
#include <unordered_map>
#include <utility>

#include "base/line_pace.h"
#include "base/rate_limit.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::control {

inline constexpr int kRenamesAtOnce = 10;
inline constexpr Duration kRenamePause = std::chrono::minutes(10);

class Arrivals {
 public:
  // The line for the log; empty: none.
  std::string line(MemberId member, std::string about, Instant now) {
    return known_[member].lines.pass(std::move(about), now);
  }
  // Takes one change of name. If it may not, the member keeps its present name until it comes again.
  bool rename(MemberId member, Instant now) {
    return known_[member].names.take(now, kRenamePause, (kRenamesAtOnce - 1) * kRenamePause);
  }
  void forget(MemberId member) { known_.erase(member); }

 private:
  struct Known {
    LinePace lines;
    RateLimit names;
  };
  std::unordered_map<MemberId, Known> known_;
};

}  // namespace eps::control
