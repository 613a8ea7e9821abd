// SPDX-License-Identifier: MIT
#pragma once

// The positions of the headers in an Ethernet frame. Every frame is parsed once; later steps use the offsets.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/types.h"

namespace eps::l2 {

inline constexpr std::size_t kEthernetSize = 14;
inline constexpr std::size_t kVlanTagSize = 4;
inline constexpr std::size_t kIp4Size = 20;
inline constexpr std::size_t kIp6Size = 40;
inline constexpr std::size_t kTcpSize = 20;
inline constexpr std::size_t kUdpSize = 8;

inline constexpr std::uint16_t kEtherIp4 = 0x0800;
inline constexpr std::uint16_t kEtherArp = 0x0806;
inline constexpr std::uint16_t kEtherIp6 = 0x86dd;
inline constexpr std::uint16_t kEtherVlan = 0x8100;         // 802.1Q
inline constexpr std::uint16_t kEtherServiceVlan = 0x88a8;  // 802.1ad

inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmp6 = 58;

// Fields of the transport headers, from their beginning.
inline constexpr std::size_t kTcpSequence = 4;
inline constexpr std::size_t kTcpFlags = 13;
inline constexpr std::size_t kTcpChecksum = 16;
inline constexpr std::size_t kUdpLength = 4;
inline constexpr std::size_t kUdpChecksum = 6;
inline constexpr std::uint8_t kTcpFin = 0x01;
inline constexpr std::uint8_t kTcpSyn = 0x02;
inline constexpr std::uint8_t kTcpRst = 0x04;
inline constexpr std::uint8_t kTcpPsh = 0x08;
inline constexpr std::uint8_t kTcpAck = 0x10;
inline constexpr std::uint8_t kTcpUrg = 0x20;
inline constexpr std::uint8_t kTcpEce = 0x40;
inline constexpr std::uint8_t kTcpCwr = 0x80;
inline constexpr std::uint8_t kTcpOptionEnd = 0;
inline constexpr std::uint8_t kTcpOptionNop = 1;
inline constexpr std::uint8_t kTcpOptionMss = 2;
inline constexpr std::uint8_t kTcpOptionMd5 = 19;
inline constexpr std::uint8_t kTcpOptionAo = 29;

// A traffic class: DSCP (RFC 2474), and ECN in its lower bits (RFC 3168, section 5).
inline constexpr std::uint8_t kEcnMask = 0x03;
inline constexpr std::uint8_t kDscpMask = 0xfc;
inline constexpr std::uint8_t kEcnCapable1 = 0x01;
inline constexpr std::uint8_t kEcnCapable0 = 0x02;
inline constexpr std::uint8_t kEcnCongestion = 0x03;

// All offsets count from the destination MAC, also where the Ethernet header itself was elided on the wire.
struct FrameInfo {
  Mac dst;
  Mac src;
  std::uint16_t ethertype = 0;     // what the frame carries: behind a VLAN tag, the one after the tag
  bool vlan = false;               // one tag; a second one shows as `ethertype`
  std::uint8_t ip_version = 0;     // 4, 6, or 0 for anything else
  bool fragment = false;           // a fragment of an IP packet, the first too
  std::uint8_t protocol = 0;       // what follows the IP headers
  std::uint8_t traffic_class = 0;  // of the IP header: DSCP and ECN
  std::size_t l3_offset = kEthernetSize;
  std::size_t l4_offset = 0;  // behind the IP header and its extension headers; 0 without IP
  // Behind a TCP or UDP header that is complete and has a correct length; 0 otherwise, and in fragments. A UDP header
  // is correct only if it covers the rest of the packet.
  std::size_t payload_offset = 0;
  std::size_t ip_end = 0;  // the end of the packet by its IP length; trailing bytes may follow

  // TCP or UDP with readable ports.
  bool plain_transport() const { return payload_offset != 0; }
  // Of the checksum field from l4_offset. REQUIRES: plain_transport()
  std::size_t checksum_offset() const { return protocol == kProtocolTcp ? kTcpChecksum : kUdpChecksum; }
};

// nullopt if the frame is shorter than its Ethernet header, or if an IP header contradicts the frame: its version the
// EtherType, its lengths the length of the frame.
std::optional<FrameInfo> parse_frame(ByteView frame);

inline constexpr std::uint8_t kIp6Fragment = 44;  // the extension header

// Hop-by-hop options, routing, fragment and destination options: another header follows (RFC 8200, section 4).
bool is_ip6_extension(std::uint8_t protocol);

// The same for a packet without its Ethernet header: fills what depends on the packet, by `info.ethertype` and
// `info.l3_offset`. False where parse_frame gives nullopt.
bool parse_packet(ByteView packet, FrameInfo& info);

}  // namespace eps::l2
