// SPDX-License-Identifier: MIT
#pragma once

// A part of the program that keeps the rights which the rest gives up, for one purpose: a process of its own that
// answers requests, one at a time, through a socket.

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "os/unique_fd.h"

namespace eps::os {

inline constexpr std::size_t kMaxHelperMessage = 128 * 1024;  // bytes of a request or an answer

class HelperProcess {
 public:
  // The answer to a request. `cancel` is readable once the answer is not wanted any more.
  using Serve = std::function<std::string(std::string_view request, int cancel)>;

  // Forks. The helper has no descriptor of this process but the standard ones, ignores the signals that end it, and
  // ends with it. `name`, of at most 15 bytes, is what ps shows. REQUIRES: no other threads.
  static Result<HelperProcess> start(const char* name, const Serve& serve);
  HelperProcess(HelperProcess&& other) noexcept
      : socket_(std::move(other.socket_)), child_(std::exchange(other.child_, -1)) {}
  HelperProcess& operator=(HelperProcess&&) = delete;
  // Waits for its end.
  ~HelperProcess();

  // Waits for the answer; once `cancel` (-1: none) is readable, lets the helper know. Errc::unavailable: it has ended.
  // REQUIRES: a request that is not empty; one thread at a time.
  Result<std::string> ask(std::string_view request, int cancel = -1) const;

 private:
  HelperProcess(UniqueFd socket, pid_t child) : socket_(std::move(socket)), child_(child) {}
  UniqueFd socket_;
  pid_t child_;
};

}  // namespace eps::os
