// SPDX-License-Identifier: MIT
#pragma once

// Inner packets made from fuzzer input, for the programs that join and cut them: a series of
//   | recipe | size 16 | bytes ... |   recipe 0: the bytes are the opened datagram itself
//   | recipe | size 8 | at | change |  otherwise: the next packet of one of four flows, `change` laid over byte `at` of
//                                      its headers; without it the fuzzer would have to guess sequence and checksums

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "l2/checksum.h"
#include "l2/inner.h"
#include "l2/source_guard.h"
#include "support/inner_frames.h"
#include "wire/datagram.h"

namespace eps::fuzz {

inline constexpr Mac kSelf{{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}}};
inline constexpr Mac kPeer{{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{2}}};
inline constexpr Ip4 kSelfIp{0x0a000001};
inline constexpr Ip4 kPeerIp{0x0a000002};

// Four flows: the bits of `number` are IPv6 and UDP. Each packet continues the last.
class Flows {
 public:
  Bytes next(std::uint8_t recipe, std::uint8_t size, std::uint8_t at, std::uint8_t change) {
    const bool ip6 = (recipe & 1) != 0;
    const bool udp = (recipe & 2) != 0;
    State& state = states_[recipe & 3];
    Bytes packet;
    Writer w(packet);
    w.u8(static_cast<std::uint8_t>(ip6 ? wire::Kind::ipv6 : wire::Kind::ipv4));
    const std::size_t l4_size = (udp ? 8U : 20U) + size;
    if (ip6) {
      w.u32(0x60000000);
      w.u16(static_cast<std::uint16_t>(l4_size));
      w.u16(udp ? 0x1140 : 0x0640);
      w.bytes(eui64(kPeer).bytes);
      w.bytes(eui64(kSelf).bytes);
    } else {
      w.u16(0x4500);
      w.u16(static_cast<std::uint16_t>(20 + l4_size));
      w.u16(state.id++);
      w.u16((recipe & 4) != 0 ? 0x4000 : 0);
      w.u16(udp ? 0x4011 : 0x4006);
      w.u16(0);
      w.u32(kPeerIp.value);
      w.u32(kSelfIp.value);
    }
    w.u32(0x10001000);
    if (udp) {
      w.u16(static_cast<std::uint16_t>(l4_size));
      w.u16(0);
    } else {
      w.u32(state.sequence);
      w.u32(7);
      w.u16(0x5010);
      w.u16(100);
      w.u32(0);
      state.sequence += size;
    }
    for (std::size_t i = 0; i < size; ++i) w.u8(static_cast<std::uint8_t>(state.sequence + i));
    if (at < 60 && at + 1U < packet.size()) packet[at + 1U] ^= std::byte{change};
    finish(packet, (recipe & 8) != 0);
    if ((recipe & 16) != 0) packet[1 + change % (packet.size() - 1)] ^= std::byte{at};  // now the checksums are wrong
    return packet;
  }

 private:
  struct State {
    std::uint16_t id = 0;
    std::uint32_t sequence = 0xfffffff0;
  };
  static IpAddress eui64(const Mac& mac) { return l2::eui64_link_local(mac); }

  static void finish(Bytes& packet, bool partial) {
    l2::Inner inner;
    if (l2::decode(packet, kSelf, kPeer, inner) != Drop::none) return;
    if (inner.info.ip_version == 4) {
      const std::size_t size = inner.info.l4_offset - inner.info.l3_offset;
      store_be16(packet.data() + 11, 0);
      store_be16(packet.data() + 11, l2::checksum(l2::add_bytes(0, ByteView(packet).subspan(1, size))));
    }
    if (!inner.info.plain_transport()) return;
    Bytes frame = test::frame_of(inner);
    test::complete_transport(frame, inner.info);
    std::copy(frame.begin() + l2::kEthernetSize, frame.end(), packet.begin() + 1);
    if (partial && inner.info.ip_end == inner.frame_size()) packet[0] |= std::byte{wire::kChecksumPartial};
  }
  State states_[4];
};

// Reads the series of packets.
class Packets {
 public:
  explicit Packets(Reader in) : in_(in) {}
  Reader& in() { return in_; }  // for data between the packets
  // False at the end of the input.
  bool next(Bytes& out) {
    const std::uint8_t recipe = in_.u8();
    if (recipe == 0) {
      const ByteView bytes = in_.bytes(in_.u16());
      out.assign(bytes.begin(), bytes.end());
    } else {
      const std::uint8_t size = in_.u8();
      const std::uint8_t at = in_.u8();
      out = flows_.next(recipe, size, at, in_.u8());
    }
    return in_.ok();
  }

 private:
  Reader in_;
  Flows flows_;
};

}  // namespace eps::fuzz
