// SPDX-License-Identifier: MIT
#pragma once

// Limits of how often somebody may do something.

#include <atomic>

#include "base/time.h"

namespace eps {

// A rate with a burst in one word (GCRA, ITU-T I.371). Any thread.
class RateLimit {
 public:
  // Whether one more may pass now, which then delays the next ones by `pause`.
  bool take(Instant now, Duration pause, Duration burst) {
    const Instant::rep at = now.time_since_epoch().count();
    Instant::rep due = due_.load(std::memory_order_relaxed);
    for (;;) {
      const Instant::rep from = due < at ? at : due;
      if (from - at > burst.count()) return false;
      if (due_.compare_exchange_weak(due, from + pause.count(), std::memory_order_relaxed)) return true;
    }
  }
  // What a take() took, when it was not used after all.
  void give_back(Duration pause) { due_.fetch_sub(pause.count(), std::memory_order_relaxed); }
  // When take() with this burst is possible again; in the past: now.
  Instant ready_at(Duration burst) const { return Instant(Duration(due_.load(std::memory_order_relaxed)) - burst); }

 private:
  std::atomic<Instant::rep> due_{0};
};

// Counts what exceeded a limit, to report it once in each window in which it was much. One thread.
class ExcessWatch {
 public:
  // True for the one that makes it `much` in this window.
  bool add(Instant now, Duration window, int much) {
    if (now - began_ >= window) {
      began_ = now;
      count_ = 0;
    }
    if (++count_ >= much) much_at_ = now;
    return count_ == much;
  }
  // When it was last much; the epoch: never.
  Instant much_at() const { return much_at_; }

 private:
  Instant began_{}, much_at_{};
  int count_ = 0;
};

}  // namespace eps
