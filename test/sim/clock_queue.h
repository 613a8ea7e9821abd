// SPDX-License-Identifier: MIT
#pragma once

// Virtual time: an ordered queue of events. Two events at the same instant run in the order in which they were added,
// so that a seed gives one history.

#include <functional>
#include <map>

#include "base/time.h"

namespace eps::sim {

class ClockQueue {
 public:
  Instant now() const { return now_; }
  void at(Instant when, std::function<void()> what) { events_.emplace(std::max(when, now_), std::move(what)); }
  void in(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  // Runs the next event if it is before `until`; otherwise false, with the clock at `until`.
  bool step(Instant until) {
    if (events_.empty() || events_.begin()->first > until) {
      now_ = std::max(now_, until);
      return false;
    }
    auto node = events_.extract(events_.begin());
    now_ = node.key();
    node.mapped()();
    return true;
  }

 private:
  Instant now_{std::chrono::hours(1)};
  std::multimap<Instant, std::function<void()>> events_;  // equal keys keep insertion order
};

}  // namespace eps::sim
