// SPDX-License-Identifier: MIT
#pragma once

// The receiving side, one packet at a time: the content of an opened datagram.

#include <array>
#include <cstddef>

#include "base/bytes.h"
#include "base/types.h"
#include "l2/parse.h"
#include "model/counters.h"

namespace eps::l2 {

// An inner frame, in the receive buffer where it was opened. Where its Ethernet header was elided, `bytes` begins with
// the IP header and `ethernet` holds what the sender left out: the header does not fit before the packet, because only
// the data header and the kind byte lie there.
struct Inner {
  ByteSpan bytes;
  bool elided = false;
  bool checksum_partial = false;  // the transport checksum holds only the pseudo-header sum
  std::array<std::byte, kEthernetSize> ethernet{};
  FrameInfo info;

  // The frame offset of bytes[0].
  std::size_t base() const { return elided ? kEthernetSize : 0; }
  // REQUIRES: base() <= offset <= frame_size()
  std::byte* at(std::size_t offset) const { return bytes.data() + (offset - base()); }
  std::size_t frame_size() const { return bytes.size() + base(); }
};

// Reads what a session opened: a kind byte and its content. `self` is the receiver's MAC, `peer` the MAC of whoever
// sealed it. Parses once. Drop::malformed for an unknown kind or flag (control messages too: they are not frames), for
// a frame that does not parse, for an elided packet with trailing bytes, and for the checksum flag on anything but TCP
// or UDP up to the frame's end.
Drop decode(ByteSpan plain, const Mac& self, const Mac& peer, Inner& out);

// Whether the frame is for this member: its own MAC or a group.
inline bool for_us(const Inner& inner, const Mac& self) {
  return inner.info.dst == self || inner.info.dst.is_group();
}

// Copies the congestion mark of the outer header to the inner packet, as in RFC 6040 (section 4.2). False: the packet
// must be dropped, because it cannot carry the mark.
bool hand_on_congestion(Inner& inner, std::uint8_t outer_traffic_class);

}  // namespace eps::l2
