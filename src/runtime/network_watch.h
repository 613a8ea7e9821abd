// SPDX-License-Identifier: MIT
#pragma once

// Calls back when the kernel has announced changes of links, addresses or routes, once for a burst of them, and when
// asked to.

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>

#include "os/address_monitor.h"
#include "runtime/control_loop.h"

namespace eps::runtime {

// Calls back once a burst of changes has ended, and every half second while it goes on: somebody may change other
// things all the time, as a routing daemon does.
class SettleTimer {
 public:
  SettleTimer(boost::asio::io_context& io, std::function<void()> on_settled)
      : timer_(io, [this, on_settled = std::move(on_settled)] {
          latest_ = due_ = kNever;
          on_settled();
        }) {}
  void changed(Instant now) {
    latest_ = std::min(latest_, now + kAtMost);
    arm(std::min(latest_, now + kPause));
  }
  // Not later than that, whatever changes.
  void by(Instant at) {
    latest_ = std::min(latest_, at);
    arm(std::min(due_, at));
  }

 private:
  static constexpr Duration kPause = std::chrono::milliseconds(50), kAtMost = std::chrono::milliseconds(500);
  void arm(Instant at) {
    due_ = at;
    timer_.arm(at);
  }
  Instant latest_ = kNever, due_ = kNever;
  DeadlineTimer timer_;
};

class NetworkWatch {
 public:
  NetworkWatch(boost::asio::io_context& io, std::unique_ptr<os::AddressMonitor> monitor, std::function<void()> look)
      : monitor_(std::move(monitor)), timer_(io, std::move(look)), watch_(io, monitor_->fd(), [this] {
          if (monitor_->drain()) timer_.changed(os::now());
        }) {}

  // Calls back not later than that, too.
  void look_by(Instant at) { timer_.by(at); }

 private:
  std::unique_ptr<os::AddressMonitor> monitor_;
  SettleTimer timer_;
  ReadableWatch watch_;
};

}  // namespace eps::runtime
