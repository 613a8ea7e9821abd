// SPDX-License-Identifier: MIT
#pragma once

// The frames that simulated clients exchange: real Ethernet, IPv4 and UDP, with a marker that must never appear on the
// wire and a number by which each is recognised.

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/types.h"

namespace eps::sim {

inline constexpr std::string_view kMarker = "in-clear-it-would-be-seen";

struct FrameTag {
  std::uint64_t number = 0;
  std::uint32_t from = 0;
  std::int32_t to = 0;  // -1: everybody
};

inline Bytes make_udp_frame(const Mac& src, const Mac& dst, Ip4 src_ip, Ip4 dst_ip, const FrameTag& tag,
                            std::size_t payload) {
  Bytes out;
  Writer w(out);
  const std::size_t body = std::max(payload, kMarker.size() + 16);
  w.bytes(dst.bytes);
  w.bytes(src.bytes);
  w.u16(0x0800);
  w.u16(0x4500);
  w.u16(static_cast<std::uint16_t>(20 + 8 + body));
  w.u32(0x00004000);  // id 0, DF
  w.u16(0x4011);
  w.u16(0);
  w.u32(src_ip.value);
  w.u32(dst_ip.value);
  w.u16(4000);
  w.u16(4001);
  w.u16(static_cast<std::uint16_t>(8 + body));
  w.u16(0);  // a UDP checksum of zero: none
  w.bytes(as_view(kMarker));
  w.u64(tag.number);
  w.u32(tag.from);
  w.u32(static_cast<std::uint32_t>(tag.to));
  while (out.size() < 14 + 28 + body) w.u8(static_cast<std::uint8_t>(tag.number + out.size()));
  std::uint32_t sum = 0;
  for (std::size_t i = 14; i < 34; i += 2) sum += load_be16(&out[i]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  store_be16(&out[24], static_cast<std::uint16_t>(~sum));
  return out;
}

// The tag of a frame that arrived intact; nullopt for other frames or changed bytes.
inline std::optional<FrameTag> read_udp_frame(ByteView frame) {
  constexpr std::size_t kAt = 14 + 28;
  if (frame.size() < kAt + kMarker.size() + 16 || as_text(frame.subspan(kAt, kMarker.size())) != kMarker) {
    return std::nullopt;
  }
  Reader in(frame.subspan(kAt + kMarker.size()));
  FrameTag tag;
  tag.number = in.u64();
  tag.from = in.u32();
  tag.to = static_cast<std::int32_t>(in.u32());
  for (std::size_t i = kAt + kMarker.size() + 16; i < frame.size(); ++i) {
    if (frame[i] != static_cast<std::byte>(tag.number + i)) return std::nullopt;
  }
  return tag;
}

}  // namespace eps::sim
