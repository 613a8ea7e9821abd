// SPDX-License-Identifier: MIT
#include "l2/inner.h"

#include "l2/checksum.h"
#include "wire/datagram.h"

namespace eps::l2 {
namespace {

bool decode_frame(ByteSpan content, Inner& out) {
  const auto info = parse_frame(content);
  if (!info) return false;
  out.info = *info;
  return true;
}

bool decode_elided(ByteSpan content, std::uint16_t ethertype, const Mac& self, const Mac& peer, Inner& out) {
  out.elided = true;
  std::memcpy(out.ethernet.data(), self.bytes.data(), 6);
  std::memcpy(out.ethernet.data() + 6, peer.bytes.data(), 6);
  store_be16(out.ethernet.data() + 12, ethertype);
  out.info.dst = self;
  out.info.src = peer;
  out.info.ethertype = ethertype;
  return parse_packet(content, out.info) && out.info.ip_end == out.frame_size();
}

void set_ecn(Inner& inner, std::uint8_t ecn) {
  std::byte* const ip = inner.at(inner.info.l3_offset);
  const std::uint16_t before = load_be16(ip);
  inner.info.traffic_class = static_cast<std::uint8_t>((inner.info.traffic_class & ~kEcnMask) | ecn);
  if (inner.info.ip_version == 6) {
    return store_be16(ip, static_cast<std::uint16_t>((before & 0xf00f) | inner.info.traffic_class << 4));
  }
  const auto after = static_cast<std::uint16_t>((before & 0xff00) | inner.info.traffic_class);
  store_be16(ip, after);
  store_be16(ip + 10, updated_checksum(load_be16(ip + 10), before, after));
}

}  // namespace

bool hand_on_congestion(Inner& inner, std::uint8_t outer_traffic_class) {
  const std::uint8_t outer = outer_traffic_class & kEcnMask;
  const std::uint8_t own = inner.info.traffic_class & kEcnMask;
  if (inner.info.ip_version == 0 || outer == own) return true;
  if (outer == kEcnCongestion) {
    if (own == 0) return false;
    set_ecn(inner, kEcnCongestion);
  } else if (outer == kEcnCapable1 && own == kEcnCapable0) {
    set_ecn(inner, kEcnCapable1);
  }
  return true;
}

Drop decode(ByteSpan plain, const Mac& self, const Mac& peer, Inner& out) {
  if (plain.empty()) return Drop::malformed;
  const auto kind = std::to_integer<std::uint8_t>(plain[0]);
  if ((kind & ~(wire::kKindMask | wire::kChecksumPartial)) != 0) return Drop::malformed;
  out = Inner{};
  out.bytes = plain.subspan(1);
  out.checksum_partial = (kind & wire::kChecksumPartial) != 0;
  bool ok = false;
  switch (static_cast<wire::Kind>(kind & wire::kKindMask)) {
    case wire::Kind::frame:
      ok = decode_frame(out.bytes, out);
      break;
    case wire::Kind::ipv4:
      ok = decode_elided(out.bytes, kEtherIp4, self, peer, out);
      break;
    case wire::Kind::ipv6:
      ok = decode_elided(out.bytes, kEtherIp6, self, peer, out);
      break;
    case wire::Kind::control:
    case wire::Kind::fragment:
      break;
  }
  if (!ok) return Drop::malformed;
  // The checksum goes to the frame's end, so trailing bytes would count.
  const bool may_be_partial = out.info.plain_transport() && out.info.ip_end == out.frame_size();
  return out.checksum_partial && !may_be_partial ? Drop::malformed : Drop::none;
}

}  // namespace eps::l2
