// SPDX-License-Identifier: MIT
#pragma once

// The daemon as a systemd unit (Type=notify): ready, its state in one line of `systemctl status`, stopping, and the
// watchdog, which is fed while the control loop runs. Without systemd it does nothing.

#include <boost/asio/io_context.hpp>
#include <string>

#include "os/clock.h"
#include "os/service_manager.h"
#include "runtime/control_loop.h"

namespace eps::runtime {

class Service {
 public:
  explicit Service(boost::asio::io_context& io) : timer_(io, [this] { ping(); }) {
    if (manager_.watchdog()) ping();
  }

  // The first call reports that the daemon has started.
  void state(const std::string& text) {
    manager_.tell((ready_ ? "STATUS=" : "READY=1\nSTATUS=") + text);
    ready_ = true;
  }
  bool ready() const { return ready_; }
  void reloading() { manager_.tell("RELOADING=1"); }
  void reloaded() { manager_.tell("READY=1"); }
  void stopping() { manager_.tell("STOPPING=1"); }

 private:
  void ping() {
    manager_.tell("WATCHDOG=1");
    timer_.arm(os::now() + *manager_.watchdog() / 2);
  }

  os::ServiceManager manager_;
  DeadlineTimer timer_;
  bool ready_ = false;
};

}  // namespace eps::runtime
