// SPDX-License-Identifier: MIT
#include "os/tap_lanes.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <cstddef>

namespace eps::os {
namespace {

// The byte at `offset` of the frame; 0 behind its end.
unsigned byte_at(std::span<const ByteView> frame, std::size_t offset) {
  for (const ByteView piece : frame) {
    if (offset < piece.size()) return std::to_integer<unsigned>(piece[offset]);
    offset -= piece.size();
  }
  return 0;
}

unsigned word_at(std::span<const ByteView> frame, std::size_t offset) {
  return byte_at(frame, offset) << 8 | byte_at(frame, offset + 1);
}

}  // namespace

Lane lane_of(std::span<const ByteView> frame) {
  constexpr std::size_t kEtherType = 12, kVlanTag = 4;
  constexpr std::size_t kFragment4 = 6, kProtocol4 = 9, kProtocol6 = 6;  // in the IP header
  constexpr unsigned kFragmentBits = 0x3fff;                             // of RFC 791: more fragments, offset
  std::size_t type_at = kEtherType;
  if (word_at(frame, type_at) == ETH_P_8021Q) type_at += kVlanTag;
  const unsigned type = word_at(frame, type_at);
  const std::size_t ip = type_at + 2;
  unsigned protocol = 0;
  if (type == ETH_P_IP && (word_at(frame, ip + kFragment4) & kFragmentBits) == 0) {
    protocol = byte_at(frame, ip + kProtocol4);
  } else if (type == ETH_P_IPV6) {
    protocol = byte_at(frame, ip + kProtocol6);
  }
  switch (protocol) {
    case IPPROTO_TCP:
      return Lane::tcp;
    case IPPROTO_UDP:
      return Lane::udp;
    default:
      return Lane::other;
  }
}

}  // namespace eps::os
