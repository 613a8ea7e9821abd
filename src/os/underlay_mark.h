// SPDX-License-Identifier: MIT
#pragma once

// The mark (SO_MARK) on every socket that carries EPS itself: UDP of every kind, and the control connection. Policy
// rules by this mark (os/underlay_routes.h) keep what is sent by them out of the EPS interfaces, whatever the routes.

#include <sys/socket.h>

#include <cstdint>

namespace eps::os {

// "EP" in the upper half. Bits that others test alone stay clear: 0x4000 and 0x8000 (kube-proxy), 0x80000 (Tailscale),
// 0x0f00 (Cilium).
inline constexpr std::uint32_t kUnderlayMark = 0x45500000;
// The routing table of the same number.
inline constexpr std::uint32_t kUnderlayTable = kUnderlayMark;

// Needs CAP_NET_ADMIN (or CAP_NET_RAW from Linux 5.17 on); false without. An accepted TCP connection inherits the mark
// of its listener.
inline bool mark_underlay(int fd) {
  return ::setsockopt(fd, SOL_SOCKET, SO_MARK, &kUnderlayMark, sizeof(kUnderlayMark)) == 0;
}

}  // namespace eps::os
