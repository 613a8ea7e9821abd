// SPDX-License-Identifier: MIT
#pragma once

// A command of the user, run by /bin/sh.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace eps::os {

struct CommandEnd {
  enum class How : std::uint8_t { exited, signalled, timed_out, cancelled };
  How how = How::exited;
  int code = 0;  // exit status or number of the signal
  bool operator==(const CommandEnd&) const = default;
};

// Runs `/bin/sh -c COMMAND` and waits for it. After `patience`, or once `cancel` is readable (-1: never), its process
// group, which is its own, is killed. The command gets this environment and nothing else from the process: no input,
// standard error as its output, no other descriptor, no ignored or blocked signal. It has the capabilities that the
// calling thread has; exec gives root all of them.
Result<CommandEnd> run_command(const std::string& command, const std::vector<std::string>& environment,
                               std::chrono::milliseconds patience, int cancel = -1);

}  // namespace eps::os
