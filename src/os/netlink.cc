// SPDX-License-Identifier: MIT
#include "os/netlink.h"

#include <linux/rtnetlink.h>

#include <cerrno>

#include "base/check.h"
#include "os/sys_error.h"

namespace eps::os {

void NetlinkMessage::put(std::uint16_t attribute, const void* data, std::size_t size) {
  EPS_CHECK(mnl_attr_put_check(header_, buffer_.size(), attribute, size, data));
}

nlattr* NetlinkMessage::begin_nest(std::uint16_t attribute) {
  nlattr* const nest = mnl_attr_nest_start_check(header_, buffer_.size(), attribute);
  EPS_CHECK(nest != nullptr);
  return nest;
}

Result<NetlinkSocket> NetlinkSocket::open(unsigned groups, int family) {
  NetlinkSocket socket(mnl_socket_open2(family, SOCK_CLOEXEC));
  if (!socket.socket_ || mnl_socket_bind(socket.socket_.get(), groups, MNL_SOCKET_AUTOPID) != 0) {
    return sys_error("cannot talk to the kernel's network configuration (netlink)", errno);
  }
  return socket;
}

Result<void> NetlinkSocket::request(NetlinkMessage& message, const std::string& tried) {
  message.header()->nlmsg_flags |= NLM_F_ACK;
  if (const int error = exchange(message.header(), nullptr)) return sys_error("cannot " + tried, error);
  return {};
}

Result<void> NetlinkSocket::dump(NetlinkMessage& message, const std::string& tried,
                                 const std::function<void(const nlmsghdr*)>& each) {
  message.header()->nlmsg_flags |= NLM_F_DUMP;
  if (const int error = exchange(message.header(), &each)) return sys_error("cannot " + tried, error);
  return {};
}

// One request and all that answers it; 0 or the errno.
int NetlinkSocket::exchange(nlmsghdr* header, const std::function<void(const nlmsghdr*)>* each) {
  header->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), header, header->nlmsg_len) < 0) return errno;
  std::array<char, 32768> buffer;  // what the kernel fills at most in one part of a dump
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    int left = static_cast<int>(got);
    for (auto* part = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(part, left);
         part = mnl_nlmsg_next(part, &left)) {
      if (part->nlmsg_seq != sequence_) continue;  // the rest of an earlier answer that was given up
      if (part->nlmsg_type == NLMSG_DONE) return 0;
      if (part->nlmsg_type == NLMSG_ERROR) {
        return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(part))->error;  // 0 is the acknowledgement
      }
      if (each != nullptr) (*each)(part);
    }
  }
}

}  // namespace eps::os
