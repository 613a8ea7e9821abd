// SPDX-License-Identifier: MIT
#pragma once

// The files that both daemons write and reread while running, and the log line about the privileges that this needs.

#include <string>

#include "ops/log.h"
#include "os/privilege.h"
#include "runtime/settings.h"

namespace eps::runtime {

inline os::Needs needs_of(const CommonSettings& settings) {
  return {.state = settings.state,
          .files = {settings.log, settings.socket, settings.scorecard.value_or("")},
          .reads = {settings.conf}};
}

inline void tell_kept_right(ops::Log& log, const std::string& because_of) {
  if (because_of.empty()) return;
  log.info("Root keeps the privilege to write to files of others, because " + because_of + " is not its own.");
}

}  // namespace eps::runtime
