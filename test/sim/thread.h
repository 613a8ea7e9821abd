// SPDX-License-Identifier: MIT
#pragma once

// A thread of a simulated daemon. It does one thing at a time: events that arrive during a call wait for its return.
// Several threads of one program interleave where they call a port (World::pause).

#include <deque>
#include <functional>
#include <utility>

namespace eps::sim {

class SimThread {
 public:
  void run(std::function<void()> what) {
    waiting_.push_back(std::move(what));
    if (busy_) return;
    busy_ = true;
    while (!waiting_.empty()) {
      const auto next = std::move(waiting_.front());
      waiting_.pop_front();
      next();
    }
    busy_ = false;
  }
  bool busy() const { return busy_; }

 private:
  std::deque<std::function<void()>> waiting_;
  bool busy_ = false;
};

}  // namespace eps::sim
