// SPDX-License-Identifier: MIT
#include "os/address_monitor.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
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

AddressMonitor::News AddressMonitor::drain() {
  // The answer to any change is to read everything again: of each, its kind is enough.
  nlmsghdr head{};
  News news = News::none;
  for (;;) {
    const ssize_t got = ::recv(fd(), &head, sizeof head, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ENOBUFS) return news;
    const bool routes = got < 0 || head.nlmsg_type == RTM_NEWROUTE || head.nlmsg_type == RTM_DELROUTE;
    news = std::max(news, routes ? News::routes : News::more);
  }
}

}  // namespace eps::os
