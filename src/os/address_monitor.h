// SPDX-License-Identifier: MIT
#pragma once

// Tells when the machine's interfaces, addresses or routes changed: time to announce new candidates and probe again.

#include <memory>

#include "base/result.h"
#include "os/netlink.h"

namespace eps::os {

class AddressMonitor {
 public:
  static Result<std::unique_ptr<AddressMonitor>> open();

  int fd() const { return socket_.fd(); }  // readable when there is something to drain
  // Takes all waiting notifications without blocking. True if there was any: look again at local_addresses(). A lost
  // notification (the socket's buffer ran over) counts as one.
  bool drain();

 private:
  explicit AddressMonitor(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace eps::os
