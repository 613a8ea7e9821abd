// SPDX-License-Identifier: MIT
#pragma once

// Frames for the tests of this room, and a slow checksum for comparison.

#include <random>
#include <span>

#include "base/bytes.h"
#include "base/types.h"
#include "l2/inner.h"
#include "l2/parse.h"
#include "l2/segment.h"
#include "l2/source_guard.h"
#include "ports/tap.h"

namespace eps::l2::test {

inline constexpr Mac mac_of(unsigned last) {
  return {{std::byte{0x02}, std::byte{0x11}, std::byte{0x22}, std::byte{0x33}, std::byte{0x44}, std::byte(last)}};
}
inline constexpr Mac kSelf = mac_of(1);  // sends
inline constexpr Mac kPeer = mac_of(2);  // receives
inline constexpr MacPair kMacs{kSelf, kPeer};
inline constexpr Ip4 kSelfIp{0x0a000801};
inline constexpr Ip4 kPeerIp{0x0a000802};

using Engine = std::mt19937_64;
inline std::size_t pick(Engine& rng, std::size_t low, std::size_t high) {
  return std::uniform_int_distribution<std::size_t>(low, high)(rng);
}
inline Bytes random_bytes(Engine& rng, std::size_t size) {
  Bytes out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(rng());
  return out;
}

// What a TCP or UDP frame is made of.
struct Spec {
  Mac dst = kPeer;
  Mac src = kSelf;
  bool vlan = false;
  std::uint8_t version = 4;
  std::uint8_t protocol = kProtocolTcp;
  std::uint16_t source_port = 40000;
  std::uint16_t port = 5201;
  std::uint16_t id = 0x1234;
  std::uint16_t fragment = 0x4000;  // DF
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  std::uint32_t sequence = 1000;
  std::uint32_t ack = 77;
  std::uint16_t window = 501;
  std::uint8_t flags = kTcpAck;
  Bytes ip_options;
  Bytes tcp_options;
  Bytes payload;
};

// RFC 1071 as it is written down, to be independent of checksum.h.
inline std::uint32_t slow_sum(ByteView bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto b = std::to_integer<std::uint32_t>(bytes[i]);
    sum += i % 2 == 0 ? b << 8 : b;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}
inline std::uint32_t slow_pseudo_sum(ByteView frame, const FrameInfo& info) {
  const ByteView ip = frame.subspan(info.l3_offset);
  const std::size_t length = info.ip_end - info.l4_offset;
  std::uint32_t sum = info.ip_version == 4 ? slow_sum(ip.subspan(12, 8)) : slow_sum(ip.subspan(8, 32));
  sum += info.protocol + static_cast<std::uint32_t>(length);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

// Whether every checksum of a TCP or UDP frame is correct and its lengths fit.
inline bool valid(ByteView frame) {
  const auto info = parse_frame(frame);
  if (!info || !info->plain_transport() || info->ip_end != frame.size()) return false;
  if (info->ip_version == 4 && slow_sum(frame.subspan(info->l3_offset, info->l4_offset - info->l3_offset)) != 0xffff) {
    return false;
  }
  if (info->protocol == kProtocolUdp && load_be16(&frame[info->l4_offset + kUdpChecksum]) == 0) return false;
  return slow_sum(frame.subspan(info->l4_offset), slow_pseudo_sum(frame, *info)) == 0xffff;
}

// The frame with only the pseudo-header's sum in its transport checksum, as a kernel with offloads gives it.
inline Bytes build(const Spec& spec) {
  Bytes out;
  Writer w(out);
  w.bytes(spec.dst.bytes);
  w.bytes(spec.src.bytes);
  if (spec.vlan) w.u32(0x81000064);
  const bool tcp = spec.protocol == kProtocolTcp;
  const std::size_t l4_size = (tcp ? kTcpSize + spec.tcp_options.size() : kUdpSize) + spec.payload.size();
  const std::size_t l3 = out.size() + 2;
  if (spec.version == 4) {
    w.u16(kEtherIp4);
    const std::size_t header = kIp4Size + spec.ip_options.size();
    w.u8(static_cast<std::uint8_t>(0x40 | header / 4));
    w.u8(spec.tos);
    w.u16(static_cast<std::uint16_t>(header + l4_size));
    w.u16(spec.id);
    w.u16(spec.fragment);
    w.u8(spec.ttl);
    w.u8(spec.protocol);
    w.u16(0);
    w.u32(kSelfIp.value);
    w.u32(kPeerIp.value);
    w.bytes(spec.ip_options);
    store_be16(&out[l3 + 10], static_cast<std::uint16_t>(~slow_sum(ByteView(out).subspan(l3))));
  } else {
    w.u16(kEtherIp6);
    w.u32(0x60000000U | std::uint32_t{spec.tos} << 20 | 0x12345);
    w.u16(static_cast<std::uint16_t>(l4_size));
    w.u8(spec.protocol);
    w.u8(spec.ttl);
    w.bytes(eui64_link_local(spec.src).bytes);
    w.bytes(eui64_link_local(spec.dst).bytes);
  }
  const std::size_t l4 = out.size();
  w.u16(spec.source_port);
  w.u16(spec.port);
  if (tcp) {
    w.u32(spec.sequence);
    w.u32(spec.ack);
    w.u8(static_cast<std::uint8_t>((kTcpSize + spec.tcp_options.size()) / 4 << 4));
    w.u8(spec.flags);
    w.u16(spec.window);
    w.u32(0);
    w.bytes(spec.tcp_options);
  } else {
    w.u16(static_cast<std::uint16_t>(l4_size));
    w.u16(0);
  }
  w.bytes(spec.payload);
  if (const auto info = parse_frame(out); info && info->plain_transport()) {
    store_be16(&out[l4 + info->checksum_offset()], static_cast<std::uint16_t>(slow_pseudo_sum(out, *info)));
  }
  return out;
}

// The same with its checksum computed.
inline Bytes build_complete(const Spec& spec) {
  Bytes out = build(spec);
  const auto info = parse_frame(out);
  const auto sum = static_cast<std::uint16_t>(~slow_sum(ByteView(out).subspan(info->l4_offset)));
  store_be16(&out[info->l4_offset + info->checksum_offset()], sum == 0 ? std::uint16_t{0xffff} : sum);
  return out;
}

// The kernel's metadata of such a frame.
inline ports::FrameMeta meta_of(ByteView frame, std::size_t gso_size) {
  const auto info = parse_frame(frame);
  ports::FrameMeta meta;
  if (gso_size != 0) {
    meta.gso = info->protocol == kProtocolUdp ? ports::Gso::udp
               : info->ip_version == 4        ? ports::Gso::tcp4
                                              : ports::Gso::tcp6;
  }
  meta.gso_size = static_cast<std::uint16_t>(gso_size);
  meta.header_size = static_cast<std::uint16_t>(info->payload_offset);
  meta.checksum_partial = true;
  meta.csum_start = static_cast<std::uint16_t>(info->l4_offset);
  meta.csum_offset = static_cast<std::uint16_t>(info->checksum_offset());
  return meta;
}

// The plaintext of a segment's datagram.
inline Bytes plain_of(const Segment& segment) {
  Bytes out(segment.head.begin(), segment.head.end());
  out.insert(out.end(), segment.body.begin(), segment.body.end());
  return out;
}
inline std::vector<Bytes> plains_of(std::span<const Segment> segments) {
  std::vector<Bytes> out;
  for (const Segment& s : segments) out.push_back(plain_of(s));
  return out;
}
inline std::vector<Bytes> split(Segmenter& segmenter, Bytes& frame, const ports::FrameMeta& meta,
                                const MacPair* elide = &kMacs) {
  std::span<const Segment> segments;
  if (segmenter.split({frame, meta}, elide, segments) != Drop::none) return {};
  return plains_of(segments);
}

// A plaintext where a receive buffer would hold it: the data header's bytes before it, the tag's behind it, so that a
// write outside shows.
class Received {
 public:
  explicit Received(ByteView plain) : buffer_(8 + plain.size() + 16, std::byte{0xee}), size_(plain.size()) {
    std::ranges::copy(plain, buffer_.begin() + 8);
  }
  Drop decode(Inner& out) { return l2::decode(ByteSpan(buffer_).subspan(8, size_), kPeer, kSelf, out); }

 private:
  Bytes buffer_;
  std::size_t size_;
};

inline Bytes join(const ports::TapWrite& write) {
  Bytes out;
  for (const ByteView piece : write.pieces) out.insert(out.end(), piece.begin(), piece.end());
  return out;
}

}  // namespace eps::l2::test
