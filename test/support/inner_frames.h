// SPDX-License-Identifier: MIT
#pragma once

// What a wire would have carried, derived a second time in a plain way: the reference for l2's cutting and joining. It
// shares the parser and the checksum with l2, which have tests of their own, and nothing else.

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "l2/checksum.h"
#include "l2/inner.h"
#include "l2/segment.h"
#include "ports/tap.h"

namespace eps::test {

inline Bytes joined(std::span<const ByteView> pieces) {
  Bytes out;
  for (const ByteView piece : pieces) out.insert(out.end(), piece.begin(), piece.end());
  return out;
}
inline Bytes plain_of(const l2::Segment& segment) {
  return joined({{segment.head, segment.body}});
}
inline Bytes frame_of(const l2::Inner& inner) {
  return inner.elided ? joined({{inner.ethernet, inner.bytes}}) : Bytes(inner.bytes.begin(), inner.bytes.end());
}

inline bool ip4_header_ok(ByteView frame, const l2::FrameInfo& info) {
  return l2::verifies(l2::add_bytes(0, frame.subspan(info.l3_offset, info.l4_offset - info.l3_offset)));
}
inline std::uint16_t pseudo_sum(ByteView frame, const l2::FrameInfo& info) {
  return l2::fold(l2::pseudo_header_sum(info.ip_version, frame.data() + info.l3_offset, info.protocol,
                                        info.ip_end - info.l4_offset));
}
// REQUIRES: info.plain_transport()
inline bool transport_ok(ByteView frame, const l2::FrameInfo& info) {
  const ByteView l4 = frame.subspan(info.l4_offset, info.ip_end - info.l4_offset);
  return l2::verifies(l2::add_word(l2::add_bytes(0, l4), pseudo_sum(frame, info)));
}
inline void complete_transport(ByteSpan frame, const l2::FrameInfo& info) {
  std::byte* field = frame.data() + info.l4_offset + info.checksum_offset();
  store_be16(field, pseudo_sum(frame, info));
  const ByteView l4 = frame.subspan(info.l4_offset, info.ip_end - info.l4_offset);
  store_be16(field, l2::nonzero_checksum(l2::add_bytes(0, l4)));
}
inline void complete_ip4(ByteSpan frame, const l2::FrameInfo& info) {
  const ByteSpan ip = frame.subspan(info.l3_offset, info.l4_offset - info.l3_offset);
  store_be16(ip.data() + 10, 0);
  store_be16(ip.data() + 10, l2::checksum(l2::add_bytes(0, ip)));
}

// The packets that a super-frame represents, with all their checksums; any other frame unchanged, but completed if it
// was partial. REQUIRES: the metadata are correct.
inline std::vector<Bytes> cut(Bytes frame, const ports::FrameMeta& meta) {
  const auto whole = l2::parse_frame(frame);
  EPS_CHECK(whole.has_value());
  if (meta.gso == ports::Gso::none) {
    if (meta.checksum_partial) complete_transport(frame, *whole);
    return {frame};
  }
  const ByteView payload = ByteView(frame).subspan(whole->payload_offset);
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < payload.size(); at += meta.gso_size) {
    const std::size_t size = std::min<std::size_t>(meta.gso_size, payload.size() - at);
    Bytes& packet = out.emplace_back(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(whole->payload_offset));
    packet.insert(packet.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                  payload.begin() + static_cast<std::ptrdiff_t>(at + size));
    std::byte* ip = packet.data() + whole->l3_offset;
    std::byte* l4 = packet.data() + whole->l4_offset;
    const std::size_t ip_size = packet.size() - whole->l3_offset;
    if (whole->ip_version == 4) {
      store_be16(ip + 2, static_cast<std::uint16_t>(ip_size));
      store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + out.size() - 1));
    } else {
      store_be16(ip + 4, static_cast<std::uint16_t>(ip_size - 40));
    }
    if (whole->protocol == l2::kProtocolUdp) {
      store_be16(l4 + 4, static_cast<std::uint16_t>(packet.size() - whole->l4_offset));
    } else {
      store_be32(l4 + 4, load_be32(l4 + 4) + static_cast<std::uint32_t>(at));
      if (at + size < payload.size()) l4[13] &= std::byte{0xf6};  // FIN and PSH on the last only
      if (at != 0) l4[13] &= std::byte{0x7f};                     // CWR on the first only
    }
    const auto info = l2::parse_frame(packet);
    EPS_CHECK(info && info->plain_transport());
    if (info->ip_version == 4) complete_ip4(packet, *info);
    complete_transport(packet, *info);
  }
  return out;
}

// A packet without the parts that may differ between two with the same meaning: the id of an IPv4 packet that is never
// fragmented (RFC 6864), and which of the two zeros a TCP checksum is. An incorrect IPv4 header checksum stays visible.
inline Bytes canonical(Bytes packet) {
  const auto info = l2::parse_frame(packet);
  EPS_CHECK(info.has_value());
  if (info->ip_version == 4) {
    std::byte* ip = packet.data() + info->l3_offset;
    const bool holds = ip4_header_ok(packet, *info);
    if ((load_be16(ip + 6) & 0x7fff) == 0x4000) store_be16(ip + 4, 0);
    store_be16(ip + 10, holds ? 0 : 1);
  }
  if (info->plain_transport() && info->protocol == l2::kProtocolTcp) {
    std::byte* field = packet.data() + info->l4_offset + l2::kTcpChecksum;
    if (load_be16(field) == 0) store_be16(field, 0xffff);
  }
  return packet;
}
// The meaning of a received frame before anything is joined.
inline Bytes canonical(const l2::Inner& inner) {
  Bytes frame = frame_of(inner);
  if (inner.checksum_partial) complete_transport(frame, inner.info);
  return canonical(std::move(frame));
}

// The key by which a receiver distinguishes flows; everything without a flow counts as one of its own kind.
using Flow = std::tuple<Bytes, std::uint8_t, Bytes>;
inline Flow flow_of(ByteView packet) {
  const auto info = l2::parse_frame(packet);
  EPS_CHECK(info.has_value());
  const auto part = [packet](std::size_t at, std::size_t n) {
    const ByteView view = packet.subspan(at, n);
    return Bytes(view.begin(), view.end());
  };
  const Bytes ethernet = part(0, info->l3_offset);
  if (!info->plain_transport()) return {ethernet, 0, {}};
  Bytes key = info->ip_version == 4 ? part(info->l3_offset + 12, 8) : part(info->l3_offset + 8, 32);
  const Bytes ports = part(info->l4_offset, 4);
  key.insert(key.end(), ports.begin(), ports.end());
  return {ethernet, info->protocol, key};
}

// Whether the kernel accepts a write and it meets the contract: every hint is exact and follows from the bytes.
inline void check_write(const ports::TapWrite& write) {
  const Bytes frame = joined(write.pieces);
  const ports::FrameMeta& meta = write.meta;
  EPS_CHECK(frame.size() <= ports::kMaxSuperFrame);
  const auto info = l2::parse_frame(frame);
  EPS_CHECK(info.has_value());
  EPS_CHECK(!(meta.checksum_partial && meta.checksum_valid));
  if (meta.checksum_valid) EPS_CHECK(info->plain_transport() && transport_ok(frame, *info));
  if (meta.checksum_partial) {
    EPS_CHECK(info->plain_transport() && info->ip_end == frame.size());
    EPS_CHECK(meta.csum_start == info->l4_offset && meta.csum_offset == info->checksum_offset());
    EPS_CHECK(meta.header_size == info->payload_offset);
  }
  if (meta.gso == ports::Gso::none) return;
  EPS_CHECK(meta.checksum_partial && meta.gso_size > 0 && frame.size() - info->payload_offset > meta.gso_size);
  EPS_CHECK((meta.gso == ports::Gso::udp) == (info->protocol == l2::kProtocolUdp));
  EPS_CHECK(meta.gso == ports::Gso::udp || (meta.gso == ports::Gso::tcp4) == (info->ip_version == 4));
  EPS_CHECK(info->ip_version == 6 || ip4_header_ok(frame, *info));
  EPS_CHECK(load_be16(frame.data() + meta.csum_start + meta.csum_offset) == pseudo_sum(frame, *info));
}

}  // namespace eps::test
