// SPDX-License-Identifier: MIT
#pragma once

// The user's commands of --up and --down. `up` runs once the interface has an address, `down` before it loses it. A
// separate thread has them run, one at a time, so neither control nor frames wait for a command. A helper process runs
// them (os/helper_process.h), which keeps the rights that they need and the client gives up. A change of the
// interface's settings is a `down` with the old variables and an `up` with the new ones; changes that arrive while a
// command runs are combined.
//
// Thread rules: the control thread.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "ops/log.h"
#include "os/helper_process.h"
#include "os/unique_fd.h"

namespace eps::runtime {

// A command that runs longer is killed: at exit the daemon waits for `down`, and systemd waits 90 s for the daemon.
inline constexpr std::chrono::seconds kHookPatience{20};

class Hooks {
 public:
  using Variables = std::vector<std::string>;  // NAME=value

  // An empty command: none. REQUIRES: no other threads, if there is a command.
  Hooks(ops::Log& log, std::string up, std::string down, std::chrono::milliseconds patience = kHookPatience);
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  // The variables for the following commands, besides EPS_HOOK and PATH.
  void set(Variables variables);
  // Before the interface disappears: kills an `up` that still runs, runs `down` if an `up` had begun, and waits for it.
  void finish();
  // The same without waiting: another thread calls `ended` after `down`. False: there is nothing to wait for.
  bool end(std::function<void()> ended);

 private:
  void run();
  void run_one(const std::string& option, const std::string& command, Variables variables, int cancel);
  std::string serve(std::string_view request, int cancel) const;

  ops::Log& log_;
  const std::string up_, down_;
  const std::chrono::milliseconds patience_;
  std::optional<Result<os::HelperProcess>> helper_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Variables> wanted_ EPS_GUARDED_BY(mutex_);  // nullopt: nothing is up
  bool ending_ EPS_GUARDED_BY(mutex_) = false;
  std::function<void()> ended_ EPS_GUARDED_BY(mutex_);
  os::UniqueFd cancel_;  // readable when an `up` must end
  std::thread thread_;   // while there is something to run
};

}  // namespace eps::runtime
