// SPDX-License-Identifier: MIT
#include "os/address_monitor.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace eps::os {

constexpr unsigned kIp6Rules = 1U << (RTNLGRP_IPV6_RULE - 1);  // this group has no name of the old kind

Result<std::unique_ptr<AddressMonitor>> AddressMonitor::open() {
  Result<NetlinkSocket> socket =
      NetlinkSocket::open(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                          RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | kIp6Rules);
  if (!socket) return socket.error();
  return std::unique_ptr<AddressMonitor>(new AddressMonitor(std::move(*socket)));
}

bool AddressMonitor::drain() {
  // The content of a change is ignored: the answer to any change is to read everything again.
  std::array<std::byte, 1> cut;
  bool changed = false;
  for (;;) {
    const ssize_t got = ::recv(fd(), cut.data(), cut.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got >= 0 || errno == ENOBUFS) {
      changed = true;
    } else if (errno != EINTR) {
      return changed;
    }
  }
}

}  // namespace eps::os
