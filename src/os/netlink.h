// SPDX-License-Identifier: MIT
#pragma once

// Requests to the kernel's routing tables (rtnetlink): one request with its acknowledgement, or one dump.

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "os/unique_fd.h"

namespace eps::os {

// Builds one message in a buffer of its own: header, family header, attributes.
class NetlinkMessage {
 public:
  static constexpr std::size_t kMaxSize = 1024;  // far above what we ask; libmnl's checked puts guard it

  // `flags` besides NLM_F_REQUEST.
  NetlinkMessage(std::uint16_t type, std::uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  }
  NetlinkMessage(const NetlinkMessage&) = delete;
  NetlinkMessage& operator=(const NetlinkMessage&) = delete;

  // The family header (ifinfomsg, ifaddrmsg, rtmsg), zeroed. Call once, before attributes.
  template <class T>
  T& family() {
    return *static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  void put(std::uint16_t attribute, const void* data, std::size_t size);
  void put_u8(std::uint16_t attribute, std::uint8_t value) { put(attribute, &value, sizeof(value)); }
  void put_u32(std::uint16_t attribute, std::uint32_t value) { put(attribute, &value, sizeof(value)); }
  nlattr* begin_nest(std::uint16_t attribute);
  void end_nest(nlattr* nest) { mnl_attr_nest_end(header_, nest); }

  nlmsghdr* header() { return header_; }

 private:
  alignas(8) std::array<char, kMaxSize> buffer_;
  nlmsghdr* header_;
};

// Thread rules: one thread at a time.
class NetlinkSocket {
 public:
  // `groups`: RTMGRP_ bits of the notifications to receive, 0 for a socket that only asks. `family`: NETLINK_NETFILTER
  // asks the firewall instead.
  static Result<NetlinkSocket> open(unsigned groups = 0, int family = NETLINK_ROUTE);

  // Sends the request and waits for the kernel's acknowledgement. `tried` words the error: "set the MTU of eps0".
  Result<void> request(NetlinkMessage& message, const std::string& tried);
  // Sends a dump (or get) request and calls `each` for every message of the answer.
  Result<void> dump(NetlinkMessage& message, const std::string& tried,
                    const std::function<void(const nlmsghdr*)>& each);

  int fd() const { return mnl_socket_get_fd(socket_.get()); }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit NetlinkSocket(mnl_socket* socket) : socket_(socket) {}
  int exchange(nlmsghdr* header, const std::function<void(const nlmsghdr*)>* each);

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace eps::os
