// SPDX-License-Identifier: MIT
#pragma once

// What udp.cc and udp_send.cc share of the kernel's sockets: how it writes an endpoint
// and an address of ours, the options that segment and
// coalesce, and the room of the buffers.

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>

#include "base/types.h"
#include "os/reply_memory.h"

namespace eps::os {

// Linux 4.18 and 5.0; not in every libc's headers.
inline constexpr int kUdpSegment = 103, kUdpGro = 104;

// Receiving survives a scheduling delay at full speed; sending must not hide congestion in a queue.
inline constexpr int kReceiveBuffer = 4 << 20;
inline constexpr int kSendBuffer = 384 << 10;  // the kernel doubles it
// A share of it; the rest is for packets that keep conduits alive, and for one more batch.
inline constexpr std::size_t kBulkRoom = 512 << 10;

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// What goes with a message to leave from an address of ours, or comes with one to say at which it arrived: IPV6_PKTINFO
// on a socket that serves both families (IPv4 as mapped addresses), IP_PKTINFO on one of IPv4 alone.
inline constexpr std::size_t kPacketInfoSpace = CMSG_SPACE(sizeof(in6_pktinfo));

inline std::size_t put_packet_info(cmsghdr* control, const LocalAddress& at, bool ipv6) {
  if (ipv6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, at.ip.bytes.data(), 16);
    info.ipi6_ifindex = at.interface;
    control->cmsg_level = IPPROTO_IPV6;
    control->cmsg_type = IPV6_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(info));
    std::memcpy(CMSG_DATA(control), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
  }
  in_pktinfo info{};
  std::memcpy(&info.ipi_spec_dst, at.ip.bytes.data() + 12, 4);
  info.ipi_ifindex = static_cast<int>(at.interface);
  control->cmsg_level = IPPROTO_IP;
  control->cmsg_type = IP_PKTINFO;
  control->cmsg_len = CMSG_LEN(sizeof(info));
  std::memcpy(CMSG_DATA(control), &info, sizeof(info));
  return CMSG_SPACE(sizeof(info));
}

inline bool take_packet_info(const cmsghdr* control, LocalAddress& out) {
  if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO &&
      control->cmsg_len >= CMSG_LEN(sizeof(in6_pktinfo))) {
    in6_pktinfo info;
    std::memcpy(&info, CMSG_DATA(control), sizeof(info));
    std::memcpy(out.ip.bytes.data(), &info.ipi6_addr, 16);
    out.interface = info.ipi6_ifindex;
    return true;
  }
  if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO &&
      control->cmsg_len >= CMSG_LEN(sizeof(in_pktinfo))) {
    in_pktinfo info;
    std::memcpy(&info, CMSG_DATA(control), sizeof(info));
    out.ip = IpAddress::from_v4({ntohl(info.ipi_addr.s_addr)});
    out.interface = static_cast<std::uint32_t>(info.ipi_ifindex);
    return true;
  }
  return false;
}

// The traffic class of a message: IP_TOS for IPv4, on a socket of both families too, IPV6_TCLASS for IPv6.
inline constexpr std::size_t kTrafficClassSpace = CMSG_SPACE(sizeof(int));

inline std::size_t put_traffic_class(cmsghdr* control, std::uint8_t traffic_class, bool v4) {
  const int value = traffic_class;
  control->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
  control->cmsg_type = v4 ? IP_TOS : IPV6_TCLASS;
  control->cmsg_len = CMSG_LEN(sizeof(value));
  std::memcpy(CMSG_DATA(control), &value, sizeof(value));
  return CMSG_SPACE(sizeof(value));
}

inline bool take_traffic_class(const cmsghdr* control, std::uint8_t& out) {
  if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS && control->cmsg_len >= CMSG_LEN(1)) {
    std::memcpy(&out, CMSG_DATA(control), 1);
    return true;
  }
  if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS &&
      control->cmsg_len >= CMSG_LEN(sizeof(int))) {
    int value = 0;
    std::memcpy(&value, CMSG_DATA(control), sizeof(value));
    out = static_cast<std::uint8_t>(value);
    return true;
  }
  return false;
}

inline socklen_t to_sockaddr(const Endpoint& endpoint, bool ipv6, SocketAddress& out) {
  out = {};
  if (ipv6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(endpoint.port);
    std::memcpy(&out.v6.sin6_addr, endpoint.ip.bytes.data(), 16);
    return sizeof(out.v6);
  }
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = htons(endpoint.port);
  std::memcpy(&out.v4.sin_addr, endpoint.ip.bytes.data() + 12, 4);
  return sizeof(out.v4);
}

inline Endpoint to_endpoint(const SocketAddress& address) {
  Endpoint endpoint;
  if (address.any.sa_family == AF_INET6) {
    std::memcpy(endpoint.ip.bytes.data(), &address.v6.sin6_addr, 16);
    endpoint.port = ntohs(address.v6.sin6_port);
  } else {
    endpoint.ip = IpAddress::from_v4({ntohl(address.v4.sin_addr.s_addr)});
    endpoint.port = ntohs(address.v4.sin_port);
  }
  return endpoint;
}

}  // namespace eps::os
