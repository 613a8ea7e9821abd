// SPDX-License-Identifier: MIT

// Both directions of l2 on arbitrary bytes. Joined frames mean exactly what was received, in the order of each flow,
// and every hint for the kernel follows from the bytes; segments represent the given frame.
//
// The first byte chooses direction and offloads. Received, the rest is a series of packets (inner_packets.h).
// Sent, it is | gso | gso_size 16 | csum_start 16 | csum_offset 8 | frame ... |; the high bits of the first byte after
// the direction say whether to use these numbers or matching ones.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "fuzz/inner_packets.h"
#include "l2/coalesce.h"
#include "l2/inner.h"
#include "l2/segment.h"
#include "l2/source_guard.h"
#include "support/inner_frames.h"

namespace {

using namespace eps;
using fuzz::kPeer;
using fuzz::kPeerIp;
using fuzz::kSelf;
using fuzz::kSelfIp;

using ByFlow = std::map<test::Flow, std::vector<Bytes>>;

void receive(Reader in, l2::Offloads offloads) {
  l2::Coalescer coalescer(offloads);
  std::vector<Bytes> buffers;
  ByFlow received;
  fuzz::Packets packets(in);
  for (Bytes plain; packets.next(plain) && buffers.size() < 300;) {
    buffers.push_back(std::move(plain));
    l2::Inner inner;
    if (l2::decode(buffers.back(), kSelf, kPeer, inner) != Drop::none) continue;
    const Bytes frame = test::frame_of(inner);
    const auto info = l2::parse_frame(frame);
    EPS_CHECK(info && info->payload_offset == inner.info.payload_offset && info->ip_end == inner.info.ip_end);
    EPS_CHECK(l2::check_source(inner, {kPeer, kPeerIp}) == l2::check_source(frame, *info, {kPeer, kPeerIp}));
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
  if (const auto info = l2::parse_frame(frame.bytes)) l2::check_source(frame.bytes, *info, {kSelf, kSelfIp});
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
