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
// things all the time, as a routing daemon does. Where a look takes long, as with the routes of the whole internet,
// changes of routes alone make it take a tenth of the time at most.
class SettleTimer {
 public:
  SettleTimer(boost::asio::io_context& io, std::function<void()> on_settled)
      : timer_(io, [this, on_settled = std::move(on_settled)] {
          latest_ = due_ = kNever;
          const Instant began = os::now();
          on_settled();
          const Instant ended = os::now();
          rests_until_ = ended + kRest * (ended - began);
        }) {}
  void changed(Instant now, bool only_routes) {
    const Instant from = only_routes ? std::max(now, rests_until_) : now;
    latest_ = std::min(latest_, from + kAtMost);
    arm(std::min(latest_, from + kPause));
  }
  // Not later than that, whatever changes.
  void by(Instant at) {
    latest_ = std::min(latest_, at);
    arm(std::min(due_, at));
  }

 private:
  static constexpr Duration kPause = std::chrono::milliseconds(50), kAtMost = std::chrono::milliseconds(500);
  static constexpr int kRest = 9;  // times what a look took
  void arm(Instant at) {
    due_ = at;
    timer_.arm(at);
  }
  Instant latest_ = kNever, due_ = kNever, rests_until_{};
  DeadlineTimer timer_;
};

class NetworkWatch {
 public:
  NetworkWatch(boost::asio::io_context& io, std::unique_ptr<os::AddressMonitor> monitor, std::function<void()> look)
      : monitor_(std::move(monitor)), timer_(io, std::move(look)), watch_(io, monitor_->fd(), [this] {
          const auto news = monitor_->drain();
          if (news != os::AddressMonitor::News::none) {
            timer_.changed(os::now(), news == os::AddressMonitor::News::routes);
          }
        }) {}

  // Calls back not later than that, too.
  void look_by(Instant at) { timer_.by(at); }

 private:
  std::unique_ptr<os::AddressMonitor> monitor_;
  SettleTimer timer_;
  ReadableWatch watch_;
};

}  // namespace eps::runtime
