// SPDX-License-Identifier: MIT
#pragma once

// What rights a daemon keeps once it runs, and what it needs from a helper that keeps more.

#include <string>
#include <string_view>
#include <vector>

#include "ops/log.h"
#include "os/helper_process.h"
#include "runtime/reload.h"
#include "runtime/settings.h"

namespace eps::runtime {

class Privileges {
 public:
  // `part`: the daemon's directory in that of the state. REQUIRES: no other threads.
  Privileges(const CommonSettings& settings, std::string_view part);

  // Gives up privileges that are no longer needed, and logs what is unusual about that.
  void give_up(ops::Log& log, bool net_admin, const std::vector<std::string>& more_outputs = {});

  // The present text of the configuration file. nullopt: this process reads it itself. `given`: the text that the
  // caller of a reload has read; it counts only where the daemon has a copy of the file.
  ConfText conf(const ConfText& given) const;

 private:
  const CommonSettings& settings_;
  std::string state_;
  std::optional<os::HelperProcess> reader_;  // of the file, as root; none where this is not root
};

}  // namespace eps::runtime
