// Both directions of l2 on arbitrary bytes. What is joined means exactly what was received, in the order of each flow,
// and every hint for the kernel follows from the bytes; what is cut stands for the frame that was given.
//
// The first byte chooses direction and offloads. Received, the rest is a series of packets:
//   | recipe | size 16 | bytes ... |   recipe 0: the bytes are the opened datagram itself
//   | recipe | size 8 | at | change |  otherwise: the next packet of one of four flows, `change` laid over byte `at` of
//                                      its headers; without it the fuzzer would have to guess sequence and checksums
// Sent, it is | gso | gso_size 16 | csum_start 16 | csum_offset 8 | frame ... |; the high bits of the first byte after
// the direction say whether to trust these numbers or to take those that fit.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "l2/coalesce.h"
#include "l2/inner.h"
#include "l2/segment.h"
#include "l2/source_guard.h"
#include "support/inner_frames.h"
#include "wire/datagram.h"

namespace {

using namespace eps;

const Mac kSelf{{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}}};
const Mac kPeer{{std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{2}}};
constexpr Ip4 kSelfIp{0x0a000001};
constexpr Ip4 kPeerIp{0x0a000002};

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

using ByFlow = std::map<test::Flow, std::vector<Bytes>>;

void receive(Reader in, l2::Offloads offloads) {
  l2::Coalescer coalescer(offloads);
  std::vector<Bytes> buffers;
  ByFlow received;
  Packets packets(in);
  for (Bytes plain; packets.next(plain) && buffers.size() < 300;) {
    buffers.push_back(std::move(plain));
    l2::Inner inner;
    if (l2::decode(buffers.back(), kSelf, kPeer, inner) != Drop::none) continue;
    const Bytes frame = test::frame_of(inner);
    const auto info = l2::parse_frame(frame);
    EPS_CHECK(info && info->payload_offset == inner.info.payload_offset && info->ip_end == inner.info.ip_end);
    EPS_CHECK(l2::check_source(inner, kPeer, kPeerIp) == l2::check_source(frame, *info, kPeer, kPeerIp));
    const Bytes packet = test::canonical(inner);
    received[test::flow_of(packet)].push_back(packet);
    EPS_CHECK(coalescer.add(inner));
  }
  ByFlow written;
  for (const ports::TapWrite& write : coalescer.finish()) {
    test::check_write(write);
    EPS_CHECK(offloads.checksum || (!write.meta.checksum_partial && write.meta.gso == ports::Gso::none));
    EPS_CHECK(offloads.tso || (write.meta.gso != ports::Gso::tcp4 && write.meta.gso != ports::Gso::tcp6));
    EPS_CHECK(offloads.uso || write.meta.gso != ports::Gso::udp);
    for (Bytes& packet : test::cut(test::joined(write.pieces), write.meta)) {
      packet = test::canonical(std::move(packet));
      written[test::flow_of(packet)].push_back(std::move(packet));
    }
  }
  EPS_CHECK(received == written);
}

// What arrives at the other end.
std::vector<Bytes> arrived(std::span<const l2::Segment> segments) {
  std::vector<Bytes> out;
  for (const l2::Segment& segment : segments) {
    Bytes plain = test::plain_of(segment);
    l2::Inner inner;
    EPS_CHECK(l2::decode(plain, kPeer, kSelf, inner) == Drop::none);
    EPS_CHECK(segment.ethernet_size == inner.frame_size());
    out.push_back(test::canonical(inner));
  }
  return out;
}

ports::FrameMeta read_meta(Reader& in, bool fitting, ByteView frame) {
  ports::FrameMeta meta;
  const std::uint8_t kind = in.u8();
  meta.gso = static_cast<ports::Gso>(kind % 4);
  meta.checksum_partial = (kind & 4) != 0;
  meta.gso_size = in.u16();
  meta.csum_start = in.u16();
  meta.csum_offset = in.u8();
  const auto info = l2::parse_frame(frame);
  if (fitting && info && info->plain_transport()) {
    meta.checksum_partial = meta.checksum_partial || meta.gso != ports::Gso::none;
    meta.csum_start = static_cast<std::uint16_t>(info->l4_offset);
    meta.csum_offset = static_cast<std::uint16_t>(info->checksum_offset());
    if (meta.gso != ports::Gso::none) {
      const bool tcp = info->protocol == l2::kProtocolTcp;
      meta.gso = !tcp ? ports::Gso::udp : info->ip_version == 4 ? ports::Gso::tcp4 : ports::Gso::tcp6;
      meta.gso_size = static_cast<std::uint16_t>(1 + meta.gso_size % 64);
    }
  }
  return meta;
}

void send(Reader in, bool fitting, bool elide) {
  Reader look(in);
  look.bytes(6);
  const ByteView rest = look.rest();
  const auto space = std::make_unique<std::byte[]>(ports::kTapHeadroom + rest.size());
  ports::TapFrame frame{{space.get() + ports::kTapHeadroom, rest.size()}, {}};
  std::ranges::copy(rest, frame.bytes.begin());
  if (fitting && frame.bytes.size() >= 12) {
    std::ranges::copy(kPeer.bytes, frame.bytes.begin());
    std::ranges::copy(kSelf.bytes, frame.bytes.begin() + 6);
  }
  frame.meta = read_meta(in, fitting, frame.bytes);
  if (const auto info = l2::parse_frame(frame.bytes)) l2::check_source(frame.bytes, *info, kSelf, kSelfIp);
  const l2::MacPair macs{kSelf, kPeer};
  l2::Segmenter carrying(true);
  l2::Segmenter completing(false);
  std::span<const l2::Segment> carried;
  std::span<const l2::Segment> completed;
  const Drop drop = carrying.split(frame, elide ? &macs : nullptr, carried);
  EPS_CHECK(completing.split(frame, nullptr, completed) == drop);
  if (drop != Drop::none) {
    EPS_CHECK(carried.empty() && completed.empty());
    return;
  }
  const std::vector<Bytes> packets = arrived(carried);
  if (frame.meta.gso != ports::Gso::none) {
    EPS_CHECK(packets == arrived(completed));
    std::vector<Bytes> expected = test::cut(Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta);
    for (Bytes& packet : expected) packet = test::canonical(std::move(packet));
    EPS_CHECK(packets == expected);
  } else {
    EPS_CHECK(packets.size() == 1 && packets[0].size() == frame.bytes.size());
    const Bytes whole(frame.bytes.begin(), frame.bytes.end());
    if (!frame.meta.checksum_partial) EPS_CHECK(packets[0] == test::canonical(whole));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader in(std::as_bytes(std::span(data, size)));
  const std::uint8_t choice = in.u8();
  if ((choice & 1) == 0) {
    receive(in, {(choice & 2) == 0, (choice & 4) == 0, (choice & 8) == 0});
  } else {
    send(in, (choice & 2) == 0, (choice & 4) == 0);
  }
  return 0;
}
