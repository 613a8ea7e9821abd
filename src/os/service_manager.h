// SPDX-License-Identifier: MIT
#pragma once

// Reports the daemon's state to systemd, as sd_notify(3) does: one datagram to the socket named by NOTIFY_SOCKET.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace eps::os {

class ServiceManager {
 public:
  // Configured by the environment. Without a service manager, tell() does nothing.
  ServiceManager();

  // Assignments, one a line: "READY=1\nSTATUS=Listening". Lost if the manager does not take them within a second.
  void tell(std::string_view assignments) const;

  // How long it waits for a WATCHDOG=1 before it kills the daemon; nullopt: for ever.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

 private:
  std::string socket_;  // "": there is no service manager
  std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace eps::os
