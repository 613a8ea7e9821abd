// TCP cut to what a path takes (Segmenter::split with a limit).

#include <gtest/gtest.h>

#include "l2/coalesce.h"
#include "l2/frames_fixture.h"
#include "l2/segment.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::meta_of;
using test::pick;
using test::Spec;

constexpr std::size_t kLimit = 1400;

std::vector<Bytes> cut(Bytes frame, const ports::FrameMeta& meta, std::size_t limit, const MacPair* elide,
                       bool carry = true) {
  Segmenter segmenter(carry);
  std::span<const Segment> segments;
  EXPECT_EQ(segmenter.split({frame, meta}, elide, segments, limit), Drop::none);
  return test::plains_of(segments);
}

// What a TAP without offloads gets of it: finished frames.
std::vector<Bytes> arrived(const std::vector<Bytes>& plains) {
  Coalescer coalescer({false, false, false});
  std::vector<test::Received> buffers(plains.begin(), plains.end());
  for (test::Received& buffer : buffers) {
    Inner inner;
    EXPECT_EQ(buffer.decode(inner), Drop::none);
    EXPECT_TRUE(coalescer.add(inner));
  }
  std::vector<Bytes> out;
  for (const ports::TapWrite& write : coalescer.finish()) out.push_back(test::join(write));
  return out;
}

Spec lone(std::size_t payload) {
  test::Engine rng(payload);
  Spec spec;
  spec.flags = kTcpAck | kTcpPsh | kTcpFin | kTcpCwr;
  spec.payload = test::random_bytes(rng, payload);
  return spec;
}

TEST(SegmentCut, EveryPieceFitsAndTheStreamIsWhole) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    test::Engine rng(seed);
    const bool super = rng() % 2 != 0;
    Spec spec = lone(pick(rng, 1, super ? 60000 : 8900));
    spec.version = rng() % 2 ? 4 : 6;
    spec.vlan = rng() % 4 == 0;
    spec.tcp_options.assign(pick(rng, 0, 10) * 4, std::byte{kTcpOptionNop});
    const std::size_t limit = pick(rng, 504, 9000);
    const bool complete = !super && rng() % 2 != 0;
    const Bytes frame = complete ? build_complete(spec) : build(spec);
    ports::FrameMeta meta = complete ? ports::FrameMeta{} : meta_of(frame, super ? pick(rng, 130, 9000) : 0);
    const auto plains = cut(frame, meta, limit, rng() % 2 ? &test::kMacs : nullptr, rng() % 2 != 0);
    std::uint32_t sequence = spec.sequence;
    Bytes payload;
    const auto frames = arrived(plains);
    ASSERT_EQ(frames.size(), plains.size()) << seed;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const Bytes& f = frames[i];
      ASSERT_LE(plains[i].size(), limit) << seed;
      ASSERT_TRUE(test::valid(f)) << seed;
      const auto info = parse_frame(f);
      EXPECT_EQ(load_be32(&f[info->l4_offset + kTcpSequence]), sequence);
      const auto flags = std::to_integer<std::uint8_t>(f[info->l4_offset + kTcpFlags]);
      EXPECT_EQ((flags & (kTcpFin | kTcpPsh)) != 0, i + 1 == frames.size()) << seed;
      EXPECT_EQ((flags & kTcpCwr) != 0, i == 0) << seed;
      const ByteView part = ByteView(f).subspan(info->payload_offset);
      sequence += static_cast<std::uint32_t>(part.size());
      payload.insert(payload.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(payload == spec.payload) << seed;
  }
}

TEST(SegmentCut, WhatFitsIsNotTouched) {
  const Bytes frame = build_complete(lone(1348));
  const auto plains = cut(frame, {}, 1 + frame.size(), nullptr);
  ASSERT_EQ(plains.size(), 1U);
  EXPECT_TRUE(equal(ByteView(plains[0]).subspan(1), frame));
}

void expect_whole(const Bytes& frame, const ports::FrameMeta& meta) {
  const auto plains = cut(frame, meta, kLimit, nullptr);
  ASSERT_EQ(plains.size(), 1U);
  EXPECT_EQ(plains[0].size(), 1 + frame.size());
}

TEST(SegmentCut, SynUrgAndRstAreNeverCut) {
  for (const std::uint8_t flag : {kTcpSyn, kTcpUrg, kTcpRst}) {
    Spec spec = lone(1460);
    spec.flags = static_cast<std::uint8_t>(kTcpAck | flag);
    const Bytes frame = build(spec);
    expect_whole(frame, meta_of(frame, 0));
  }
}

TEST(SegmentCut, ASignedSegmentIsNeverCut) {
  for (const std::uint8_t kind : {kTcpOptionMd5, kTcpOptionAo}) {
    Spec spec = lone(1460);
    spec.tcp_options.assign(20, std::byte{kTcpOptionNop});
    spec.tcp_options[2] = std::byte{kind};
    spec.tcp_options[3] = std::byte{18};
    const Bytes frame = build(spec);
    expect_whole(frame, meta_of(frame, 0));
  }
}

TEST(SegmentCut, OptionsThatDoNotParseAreNotCut) {
  for (const std::uint8_t size : {0, 1, 9}) {
    Spec spec = lone(1460);
    spec.tcp_options = {std::byte{8}, std::byte{size}, std::byte{1}, std::byte{1}};
    const Bytes frame = build(spec);
    expect_whole(frame, meta_of(frame, 0));
  }
}

// Each piece would get a right checksum of its own, and hide what was broken.
TEST(SegmentCut, ABrokenChecksumIsCarriedAsItIs) {
  Bytes frame = build_complete(lone(1460));
  frame.back() ^= std::byte{1};
  expect_whole(frame, {});
}

TEST(SegmentCut, UdpIsNeverCut) {
  Spec spec = lone(1460);
  spec.protocol = kProtocolUdp;
  expect_whole(build_complete(spec), {});
}

}  // namespace
}  // namespace eps::l2
