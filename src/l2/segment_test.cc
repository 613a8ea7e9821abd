// SPDX-License-Identifier: MIT
#include "l2/segment.h"

#include <gtest/gtest.h>

#include "l2/frames_fixture.h"
#include "wire/datagram.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::kMacs;
using test::meta_of;
using test::Spec;

std::uint8_t kind(const Bytes& plain) {
  return std::to_integer<std::uint8_t>(plain.at(0));
}
constexpr std::uint8_t kFrame = static_cast<std::uint8_t>(wire::Kind::frame);
constexpr std::uint8_t kIp4 = static_cast<std::uint8_t>(wire::Kind::ipv4);
constexpr std::uint8_t kIp6 = static_cast<std::uint8_t>(wire::Kind::ipv6);

// The Ethernet frame that a plaintext represents, without completing its checksum.
Bytes frame_of(const Bytes& plain) {
  test::Received received(plain);
  Inner inner;
  EXPECT_EQ(received.decode(inner), Drop::none);
  Bytes out;
  if (inner.elided) out.assign(inner.ethernet.begin(), inner.ethernet.end());
  out.insert(out.end(), inner.bytes.begin(), inner.bytes.end());
  return out;
}

// The same with its checksum completed, if necessary.
Bytes complete_frame_of(const Bytes& plain) {
  Bytes frame = frame_of(plain);
  if ((kind(plain) & wire::kChecksumPartial) == 0) return frame;
  const auto info = parse_frame(frame);
  const auto sum = static_cast<std::uint16_t>(~test::slow_sum(ByteView(frame).subspan(info->l4_offset)));
  store_be16(&frame[info->l4_offset + info->checksum_offset()], sum == 0 ? std::uint16_t{0xffff} : sum);
  return frame;
}

Spec spec_of(std::uint8_t version, std::uint8_t protocol, std::size_t payload) {
  test::Engine rng(payload);
  Spec spec;
  spec.version = version;
  spec.protocol = protocol;
  spec.payload = test::random_bytes(rng, payload);
  return spec;
}

// The result of split() for a frame that it should refuse.
Drop refusal(Bytes frame, const ports::FrameMeta& meta) {
  Segmenter segmenter;
  std::span<const Segment> out;
  const Drop drop = segmenter.split({frame, meta}, &kMacs, out);
  EXPECT_EQ(drop != Drop::none, out.empty());
  return drop;
}

TEST(Segment, ElidesTheEthernetHeaderOfUnicastIp) {
  Segmenter segmenter;
  for (const std::uint8_t version : {4, 6}) {
    Bytes frame = build_complete(spec_of(version, kProtocolTcp, 100));
    std::span<const Segment> out;
    ASSERT_EQ(segmenter.split({frame, {}}, &kMacs, out), Drop::none);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(out[0].ethernet_size, frame.size());
    const Bytes plain = test::plain_of(out[0]);
    EXPECT_EQ(kind(plain), version == 4 ? kIp4 : kIp6);
    EXPECT_EQ(plain.size(), 1 + frame.size() - 14);
    EXPECT_EQ(frame_of(plain), frame);
  }
}

TEST(Segment, KeepsAnEthernetHeaderThatCannotBeRestored) {
  Segmenter segmenter;
  Spec vlan = spec_of(4, kProtocolTcp, 10);
  vlan.vlan = true;
  Spec to_other = spec_of(4, kProtocolTcp, 10);
  to_other.dst = test::mac_of(9);
  Spec from_other = spec_of(4, kProtocolTcp, 10);
  from_other.src = test::mac_of(9);
  Bytes trailing = build_complete(spec_of(4, kProtocolTcp, 0));
  trailing.resize(60);
  Bytes no_ip(60);
  for (Bytes frame : {build_complete(vlan), build_complete(to_other), build_complete(from_other), trailing, no_ip}) {
    const std::vector<Bytes> plains = test::split(segmenter, frame, {});
    ASSERT_EQ(plains.size(), 1U);
    EXPECT_EQ(kind(plains[0]), kFrame);
    EXPECT_EQ(frame_of(plains[0]), frame);
  }
  Bytes frame = build_complete(spec_of(4, kProtocolTcp, 10));
  EXPECT_EQ(kind(test::split(segmenter, frame, {}, nullptr).at(0)), kFrame);
}

TEST(Segment, LeavesAPartialChecksumToTheReceiver) {
  Segmenter segmenter;
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      const Spec spec = spec_of(version, protocol, 99);
      Bytes frame = build(spec);
      const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, 0));
      ASSERT_EQ(plains.size(), 1U);
      EXPECT_EQ(kind(plains[0]), (version == 4 ? kIp4 : kIp6) | wire::kChecksumPartial);
      EXPECT_EQ(frame_of(plains[0]), frame);
      EXPECT_EQ(complete_frame_of(plains[0]), build_complete(spec));
    }
  }
}

TEST(Segment, ComputesChecksumsWhenAskedTo) {
  Segmenter segmenter(false);
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      const Spec spec = spec_of(version, protocol, 99);
      Bytes frame = build(spec);
      const Bytes before = frame;
      for (const MacPair* elide : {&kMacs, static_cast<const MacPair*>(nullptr)}) {
        const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, 0), elide);
        ASSERT_EQ(plains.size(), 1U);
        EXPECT_EQ(kind(plains[0]) & wire::kChecksumPartial, 0);
        EXPECT_EQ(frame_of(plains[0]), build_complete(spec));
        EXPECT_EQ(frame, before);
      }
    }
  }
}

TEST(Segment, ComputesChecksumsThatTheReceiverCouldNotFind) {
  Segmenter segmenter;
  // A UDP datagram whose checksum field lies elsewhere: some protocol of the user's.
  Bytes other = build(spec_of(4, 200, 40));
  ports::FrameMeta meta;
  meta.checksum_partial = true;
  meta.csum_start = 34;
  meta.csum_offset = 10;
  std::vector<Bytes> plains = test::split(segmenter, other, meta);
  ASSERT_EQ(plains.size(), 1U);
  EXPECT_EQ(kind(plains[0]), kIp4);
  const Bytes sent = frame_of(plains[0]);
  EXPECT_EQ(load_be16(&sent[44]), static_cast<std::uint16_t>(~test::slow_sum(ByteView(other).subspan(34))));
  EXPECT_TRUE(equal(ByteView(sent).first(44), ByteView(other).first(44)));
  EXPECT_TRUE(equal(ByteView(sent).subspan(46), ByteView(other).subspan(46)));

  // TCP whose frame goes on behind the packet.
  const Spec spec = spec_of(4, kProtocolTcp, 1);
  Bytes trailing = build(spec);
  meta = meta_of(trailing, 0);
  trailing.resize(60);
  plains = test::split(segmenter, trailing, meta);
  ASSERT_EQ(plains.size(), 1U);
  EXPECT_EQ(kind(plains[0]), kFrame);
  Bytes whole = build_complete(spec);
  whole.resize(60);
  EXPECT_EQ(frame_of(plains[0]), whole);
}

TEST(Segment, ZeroIsNotSentAsAUdpChecksum) {
  Spec spec = spec_of(4, kProtocolUdp, 2);
  Bytes frame = build(spec);
  // Payload that makes the sum all ones.
  const auto sum = static_cast<std::uint16_t>(test::slow_sum(ByteView(frame).subspan(34, 8)));
  store_be16(spec.payload.data(), static_cast<std::uint16_t>(~sum));
  frame = build(spec);
  Segmenter segmenter(false);
  for (const std::size_t gso_size : {0, 100}) {
    const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, gso_size));
    ASSERT_EQ(plains.size(), 1U);
    EXPECT_EQ(load_be16(&frame_of(plains[0])[34 + kUdpChecksum]), 0xffff);
    EXPECT_TRUE(test::valid(frame_of(plains[0])));
  }
}

TEST(Segment, CutsATcpSuperFrame) {
  Spec spec = spec_of(4, kProtocolTcp, 4000);
  spec.flags = kTcpAck | kTcpPsh | kTcpFin | kTcpCwr;
  spec.id = 0xffff;
  spec.sequence = 0xfffffff0;
  spec.tcp_options = Bytes(12, std::byte{1});
  Bytes frame = build(spec);
  Segmenter segmenter;
  std::span<const Segment> out;
  ASSERT_EQ(segmenter.split({frame, meta_of(frame, 1448)}, &kMacs, out), Drop::none);
  ASSERT_EQ(out.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    Spec part = spec;
    part.id = static_cast<std::uint16_t>(spec.id + i);
    part.sequence = static_cast<std::uint32_t>(spec.sequence + i * 1448);
    part.flags = kTcpAck;
    if (i == 0) part.flags |= kTcpCwr;
    if (i == 2) part.flags |= kTcpPsh | kTcpFin;
    const auto begin = spec.payload.begin() + static_cast<std::ptrdiff_t>(i * 1448);
    part.payload.assign(begin, i == 2 ? spec.payload.end() : begin + 1448);
    const Bytes plain = test::plain_of(out[i]);
    EXPECT_EQ(kind(plain), kIp4 | wire::kChecksumPartial);
    EXPECT_EQ(frame_of(plain), build(part)) << i;
    EXPECT_EQ(complete_frame_of(plain), build_complete(part)) << i;
    EXPECT_EQ(out[i].ethernet_size, build(part).size());
  }
}

TEST(Segment, CutsAUdpSuperFrame) {
  for (const std::uint8_t version : {4, 6}) {
    const Spec spec = spec_of(version, kProtocolUdp, 2500);
    Bytes frame = build(spec);
    Segmenter segmenter;
    const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, 1200));
    ASSERT_EQ(plains.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
      Spec part = spec;
      part.id = static_cast<std::uint16_t>(spec.id + i);
      const auto begin = spec.payload.begin() + static_cast<std::ptrdiff_t>(i * 1200);
      part.payload.assign(begin, i == 2 ? spec.payload.end() : begin + 1200);
      EXPECT_EQ(complete_frame_of(plains[i]), build_complete(part)) << i;
    }
  }
}

TEST(Segment, TheFrameServesSeveralSplits) {
  Bytes frame = build(spec_of(6, kProtocolTcp, 5000));
  const Bytes before = frame;
  Segmenter segmenter;
  const std::vector<Bytes> first = test::split(segmenter, frame, meta_of(frame, 1000));
  EXPECT_EQ(frame, before);
  EXPECT_EQ(test::split(segmenter, frame, meta_of(frame, 1000)), first);
}

TEST(Segment, RefusesWhatContradictsItsMetadata) {
  const Bytes tcp4 = build(spec_of(4, kProtocolTcp, 3000));
  const Bytes udp4 = build(spec_of(4, kProtocolUdp, 3000));
  const ports::FrameMeta good = meta_of(tcp4, 1000);
  const auto with = [&](auto change) {
    ports::FrameMeta meta = good;
    change(meta);
    return refusal(tcp4, meta);
  };
  EXPECT_EQ(refusal(tcp4, good), Drop::none);
  EXPECT_EQ(with([](auto& m) { m.gso = ports::Gso::tcp6; }), Drop::malformed);
  EXPECT_EQ(with([](auto& m) { m.gso = ports::Gso::udp; }), Drop::malformed);
  EXPECT_EQ(with([](auto& m) { m.gso_size = 0; }), Drop::malformed);
  EXPECT_EQ(with([](auto& m) { m.csum_start = 30; }), Drop::malformed);
  EXPECT_EQ(with([](auto& m) { m.csum_offset = 6; }), Drop::malformed);
  EXPECT_EQ(refusal(udp4, good), Drop::malformed);
  Bytes trailing = tcp4;
  trailing.resize(trailing.size() + 1);
  EXPECT_EQ(refusal(trailing, good), Drop::malformed);
  Spec fragment = spec_of(4, kProtocolTcp, 3000);
  fragment.fragment = 0x2000;
  EXPECT_EQ(refusal(build(fragment), good), Drop::malformed);
  EXPECT_EQ(refusal(Bytes(10), {}), Drop::malformed);
  EXPECT_EQ(refusal(Bytes(60), good), Drop::malformed);
}

TEST(Segment, RefusesAChecksumOutsideTheFrame) {
  const Bytes frame = build(spec_of(4, kProtocolTcp, 100));
  ports::FrameMeta meta;
  meta.checksum_partial = true;
  for (const auto& [start, offset] : {std::pair{0, 16}, {13, 16}, {34, 119}, {0xffff, 0xffff}}) {
    meta.csum_start = static_cast<std::uint16_t>(start);
    meta.csum_offset = static_cast<std::uint16_t>(offset);
    EXPECT_EQ(refusal(frame, meta), Drop::malformed) << start;
  }
  meta.csum_start = 34;
  meta.csum_offset = 118;
  EXPECT_EQ(refusal(frame, meta), Drop::none);
}

TEST(Segment, BoundsTheNumberOfSegments) {
  const Bytes frame = build(spec_of(4, kProtocolTcp, 64 * kMaxSegments - 100));
  EXPECT_EQ(refusal(frame, meta_of(frame, 64)), Drop::none);
  EXPECT_EQ(refusal(frame, meta_of(frame, 63)), Drop::malformed);
  EXPECT_EQ(refusal(frame, meta_of(frame, 1)), Drop::malformed);
  // Many segments with long headers do not fit the arena.
  Spec spec = spec_of(4, kProtocolTcp, 60 * kMaxSegments);
  spec.vlan = true;
  spec.tcp_options = Bytes(40, std::byte{1});
  spec.ip_options = Bytes(40, std::byte{1});
  const Bytes long_headers = build(spec);
  EXPECT_EQ(refusal(long_headers, meta_of(long_headers, 60)), Drop::malformed);
}

TEST(Segment, APayloadWithinOneSegmentStaysOne) {
  for (const std::size_t size : {0, 1, 999, 1000}) {
    const Spec spec = spec_of(4, kProtocolTcp, size);
    Bytes frame = build(spec);
    Segmenter segmenter;
    const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, 1000));
    ASSERT_EQ(plains.size(), 1U);
    EXPECT_EQ(frame_of(plains[0]), frame);
  }
}

// Any super-frame, cut in either way: every segment is valid by itself and the payloads follow each other.
TEST(SegmentProperty, SegmentsAreValidFramesWithThePayloadInOrder) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    test::Engine rng(seed);
    Spec spec = spec_of(rng() % 2 ? 4 : 6, rng() % 2 ? kProtocolTcp : kProtocolUdp, test::pick(rng, 1, 65000));
    spec.vlan = rng() % 4 == 0;
    spec.flags = static_cast<std::uint8_t>(rng());
    spec.tos = static_cast<std::uint8_t>(rng());
    spec.sequence = static_cast<std::uint32_t>(rng());
    spec.id = static_cast<std::uint16_t>(rng());
    spec.fragment = rng() % 2 ? 0x4000 : 0;
    spec.tcp_options = test::random_bytes(rng, test::pick(rng, 0, 10) * 4);
    spec.ip_options = Bytes(test::pick(rng, 0, 10) * 4, std::byte{1});
    Bytes frame = build(spec);
    const std::size_t gso_size = test::pick(rng, 200, 9000);
    const std::size_t count = (spec.payload.size() + gso_size - 1) / gso_size;
    Segmenter segmenter(rng() % 2 == 0);
    const std::vector<Bytes> plains =
        test::split(segmenter, frame, meta_of(frame, gso_size), rng() % 2 ? &kMacs : nullptr);
    ASSERT_EQ(plains.size(), count) << seed;
    Bytes payload;
    for (const Bytes& plain : plains) {
      const Bytes segment = complete_frame_of(plain);
      ASSERT_TRUE(test::valid(segment)) << seed;
      const auto info = parse_frame(segment);
      payload.insert(payload.end(), segment.begin() + static_cast<std::ptrdiff_t>(info->payload_offset), segment.end());
    }
    EXPECT_TRUE(payload == spec.payload) << seed;
  }
}

}  // namespace
}  // namespace eps::l2
