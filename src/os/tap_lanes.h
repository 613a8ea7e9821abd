// SPDX-License-Identifier: MIT
#pragma once

// The lanes of a TAP queue: several kernel queues that one thread reads by turns, so that a ping or a call does not
// wait behind megabytes of a TCP stream.
//
// The kernel chooses the lane of a frame that it gives us. For a multi-queue TAP it remembers for each flow the queue
// through which the flow's latest frame was written (drivers/net/tun.c, tun_flow_update), for three seconds, and gives
// the flow's other direction to that queue. So a lane is chosen by writing through it. Frames of a flow that has had no
// answer yet are spread over the lanes by a hash.

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace eps::os {

enum class Lane : std::uint8_t {
  other,  // neither TCP nor UDP: ARP, ICMP, neighbour discovery, fragments
  udp,
  tcp,
};
inline constexpr std::size_t kLanes = 3;

// Of an Ethernet frame given in pieces, with one VLAN tag or none. IPv6 with extension headers is Lane::other.
Lane lane_of(std::span<const ByteView> frame);

}  // namespace eps::os
