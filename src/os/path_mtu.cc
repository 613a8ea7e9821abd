// SPDX-License-Identifier: MIT
#include "os/path_mtu.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "os/underlay_mark.h"
#include "os/unique_fd.h"

namespace eps::os {

std::optional<std::uint32_t> path_mtu(const Endpoint& to) {
  const bool v4 = to.ip.is_v4();
  // The name of the option for IPv4 differs from that of IPv6.
  const UniqueFd fd(::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return std::nullopt;
  mark_underlay(fd.get());  // without the mark it is the way of everybody else
  sockaddr_in a4{};
  sockaddr_in6 a6{};
  a4.sin_family = AF_INET;
  a4.sin_port = htons(to.port);
  if (v4) a4.sin_addr.s_addr = htonl(to.ip.v4().value);
  a6.sin6_family = AF_INET6;
  a6.sin6_port = htons(to.port);
  std::memcpy(&a6.sin6_addr, to.ip.bytes.data(), to.ip.bytes.size());
  const auto* address = v4 ? reinterpret_cast<const sockaddr*>(&a4) : reinterpret_cast<const sockaddr*>(&a6);
  int mtu = 0;
  socklen_t size = sizeof mtu;
  if (::connect(fd.get(), address, v4 ? sizeof a4 : sizeof a6) != 0 ||
      ::getsockopt(fd.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &size) != 0 || mtu <= 0) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(mtu);
}

}  // namespace eps::os
