// SPDX-License-Identifier: MIT
#include "l2/parse.h"

namespace eps::l2 {
namespace {

// More would only serve to hide what follows; RFC 8200 needs five at most.
constexpr int kMaxExtensionHeaders = 8;

std::uint8_t u8(const std::byte* p) {
  return std::to_integer<std::uint8_t>(*p);
}

bool is_vlan(std::uint16_t ethertype) {
  return ethertype == kEtherVlan || ethertype == kEtherServiceVlan;
}

// `transport` is everything between the IP headers and the end of the packet.
void parse_transport(ByteView transport, FrameInfo& info) {
  if (info.fragment) return;
  if (info.protocol == kProtocolTcp && transport.size() >= kTcpSize) {
    const std::size_t size = std::size_t{u8(transport.data() + 12)} / 16 * 4;
    if (size >= kTcpSize && size <= transport.size()) info.payload_offset = info.l4_offset + size;
  } else if (info.protocol == kProtocolUdp && transport.size() >= kUdpSize) {
    if (load_be16(transport.data() + kUdpLength) == transport.size()) info.payload_offset = info.l4_offset + kUdpSize;
  }
}

bool parse_ip4(ByteView packet, FrameInfo& info) {
  if (packet.size() < kIp4Size || u8(packet.data()) >> 4 != 4) return false;
  const std::size_t header = std::size_t{u8(packet.data())} % 16 * 4;
  const std::size_t total = load_be16(packet.data() + 2);
  if (header < kIp4Size || total < header || total > packet.size()) return false;
  info.ip_version = 4;
  info.fragment = (load_be16(packet.data() + 6) & 0x3fff) != 0;  // "more fragments" or an offset
  info.protocol = u8(packet.data() + 9);
  info.traffic_class = u8(packet.data() + 1);
  info.l4_offset = info.l3_offset + header;
  info.ip_end = info.l3_offset + total;
  parse_transport(packet.subspan(header, total - header), info);
  return true;
}

bool parse_ip6(ByteView packet, FrameInfo& info) {
  if (packet.size() < kIp6Size || u8(packet.data()) >> 4 != 6) return false;
  const std::size_t total = kIp6Size + load_be16(packet.data() + 4);
  if (total > packet.size()) return false;
  std::uint8_t next = u8(packet.data() + 6);
  std::size_t at = kIp6Size;
  for (int n = 0; is_ip6_extension(next); ++n) {
    if (n == kMaxExtensionHeaders || at + 8 > total) return false;
    const std::byte* header = packet.data() + at;
    const bool fragment = next == kIp6Fragment;
    at += fragment ? 8 : (std::size_t{u8(header + 1)} + 1) * 8;
    if (at > total) return false;
    next = u8(header);
    if (fragment) {
      info.fragment = true;
      break;  // what follows is whole only once it is reassembled
    }
  }
  info.ip_version = 6;
  info.traffic_class = static_cast<std::uint8_t>(load_be16(packet.data()) >> 4);
  info.protocol = next;
  info.l4_offset = info.l3_offset + at;
  info.ip_end = info.l3_offset + total;
  parse_transport(packet.subspan(at, total - at), info);
  return true;
}

}  // namespace

bool is_ip6_extension(std::uint8_t protocol) {
  constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kDestinationOptions = 60;
  return protocol == kHopByHop || protocol == kRouting || protocol == kIp6Fragment || protocol == kDestinationOptions;
}

bool parse_packet(ByteView packet, FrameInfo& info) {
  if (info.ethertype == kEtherIp4) return parse_ip4(packet, info);
  if (info.ethertype == kEtherIp6) return parse_ip6(packet, info);
  return true;
}

std::optional<FrameInfo> parse_frame(ByteView frame) {
  if (frame.size() < kEthernetSize) return std::nullopt;
  FrameInfo info;
  std::memcpy(info.dst.bytes.data(), frame.data(), 6);
  std::memcpy(info.src.bytes.data(), frame.data() + 6, 6);
  info.ethertype = load_be16(frame.data() + 12);
  if (is_vlan(info.ethertype)) {
    if (frame.size() < kEthernetSize + kVlanTagSize) return std::nullopt;
    info.vlan = true;
    info.ethertype = load_be16(frame.data() + 16);
    info.l3_offset += kVlanTagSize;
  }
  if (!parse_packet(frame.subspan(info.l3_offset), info)) return std::nullopt;
  return info;
}

}  // namespace eps::l2
