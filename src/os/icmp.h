// SPDX-License-Identifier: MIT
#pragma once

// Echo requests (ping) to an IPv4 address.

#include <chrono>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "os/unique_fd.h"

namespace eps::os {

class EchoSocket {
 public:
  // Errc::permission if this user may not ping; root always may.
  static Result<EchoSocket> open(Ip4 target);
  // Sends one and waits for its answer: the round trip, or nullopt. An Error where it cannot even be sent.
  Result<std::optional<Duration>> ping(std::uint16_t sequence, std::chrono::milliseconds timeout);

 private:
  EchoSocket(UniqueFd fd, bool raw) : fd_(std::move(fd)), raw_(raw) {}
  UniqueFd fd_;
  bool raw_;  // answers carry an IP header, and answers to other processes arrive as well
};

}  // namespace eps::os
