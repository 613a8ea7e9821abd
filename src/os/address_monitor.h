// SPDX-License-Identifier: MIT
#pragma once

// Reports that the machine's interfaces, addresses or routes changed: time to announce new candidates and probe again.

#include <memory>

#include "base/result.h"
#include "os/netlink.h"

namespace eps::os {

class AddressMonitor {
 public:
  static Result<std::unique_ptr<AddressMonitor>> open();

  int fd() const { return socket_.fd(); }  // readable when there is something to drain
  // Drains all waiting notifications without blocking, and says what they were about: read everything again. Lost ones
  // (the socket's buffer overflowed) count as routes, which alone can be so many.
  enum class News { none, routes, more };
  News drain();

 private:
  explicit AddressMonitor(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace eps::os
