// SPDX-License-Identifier: MIT
#pragma once

// The `eps` tool: queries the daemons of this computer.

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

namespace eps::app {

inline constexpr int kExitNotRunning = 3;  // besides 0, kExitFailure and kExitUsage of options.h

struct ToolDefaults {
  std::string client_socket = "/run/eps/client.sock";
  std::string server_socket = "/run/eps/server.sock";
  std::string state = "/var/lib/eps";
  std::string conf = "/etc/eps.conf";
  std::string lock_key = "/etc/eps-lock.key";
  bool terminal = false;    // `out` is one: "watch" may clear it
  std::size_t columns = 0;  // of `out`; 0: taken from the terminal, and without one lines are not folded
  bool systemd = false;     // it runs here, so services are what to start
};

// Returns the exit status: 0, 1 the daemon or the system refuses, 2 wrong usage, 3 the daemon does not run.
int run_tool(const std::vector<std::string>& arguments, const ToolDefaults& defaults, std::ostream& out,
             std::ostream& err);

}  // namespace eps::app
