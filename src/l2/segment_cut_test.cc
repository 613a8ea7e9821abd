// SPDX-License-Identifier: MIT

// TCP cut to what a path carries (Segmenter::split with a limit).

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

std::vector<Bytes> cut(Bytes frame, const ports::FrameMeta& meta, Limits limits, const MacPair* elide,
                       bool carry = true) {
  Segmenter segmenter(carry);
  std::span<const Segment> segments;
  EXPECT_EQ(segmenter.split({frame, meta}, elide, segments, limits), Drop::none);
  return test::plains_of(segments);
}

// What a TAP without offloads gets from it: finished frames.
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

TEST(SegmentCut, EveryPieceFitsAndTheStreamIsComplete) {
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
    const auto plains = cut(frame, meta, {limit}, rng() % 2 ? &test::kMacs : nullptr, rng() % 2 != 0);
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

TEST(SegmentCut, FittingSegmentIsLeftAlone) {
  const Bytes frame = build_complete(lone(1348));
  const auto plains = cut(frame, {}, {1 + frame.size()}, nullptr);
  ASSERT_EQ(plains.size(), 1U);
  EXPECT_TRUE(equal(ByteView(plains[0]).subspan(1), frame));
}

void expect_whole(const Bytes& frame, const ports::FrameMeta& meta) {
  const auto plains = cut(frame, meta, {kLimit}, nullptr);
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

// Each piece would get a correct checksum of its own, which would hide what was broken.
TEST(SegmentCut, ABrokenChecksumIsPassedOnUnchanged) {
  Bytes frame = build_complete(lone(1460));
  frame.back() ^= std::byte{1};
  expect_whole(frame, {});
}

TEST(SegmentCut, UdpIsNeverCut) {
  Spec spec = lone(1460);
  spec.protocol = kProtocolUdp;
  expect_whole(build_complete(spec), {});
}

Spec syn(std::uint8_t version, std::size_t padding, std::uint16_t mss) {
  Spec spec;
  spec.version = version;
  spec.flags = kTcpSyn;
  spec.tcp_options.assign(padding, std::byte{kTcpOptionNop});
  for (const int b : {int{kTcpOptionMss}, 4, mss >> 8, mss & 0xff})
    spec.tcp_options.push_back(static_cast<std::byte>(b));
  while (spec.tcp_options.size() % 4 != 0) spec.tcp_options.push_back(std::byte{kTcpOptionEnd});
  return spec;
}

// The segments that the other end makes for it then fit, with whatever options they carry.
TEST(SegmentCut, TheMssOfASynIsLoweredToThePathMtu) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    test::Engine rng(seed);
    const std::uint8_t version = rng() % 2 ? 4 : 6;
    const std::size_t promised = pick(rng, 504, 9000);
    const MacPair* elide = rng() % 2 ? &test::kMacs : nullptr;
    const std::size_t ip = version == 4 ? kIp4Size : kIp6Size;
    const std::size_t around = 1 + (elide ? 0 : kEthernetSize) + ip + kTcpSize;
    const std::uint16_t mss = static_cast<std::uint16_t>(pick(rng, 500, 9000));
    const std::size_t padding = pick(rng, 0, 5);
    Spec spec = syn(version, padding, mss);
    if (rng() % 2) spec.flags |= kTcpAck;
    const bool complete = rng() % 2 != 0;
    const Bytes frame = complete ? build_complete(spec) : build(spec);
    const Bytes before = frame;
    const auto meta = complete ? ports::FrameMeta{} : meta_of(frame, 0);
    const auto frames = arrived(cut(frame, meta, {kNoLimit, promised}, elide, rng() % 2 != 0));
    ASSERT_EQ(frames.size(), 1U);
    const Bytes& f = frames[0];
    ASSERT_TRUE(test::valid(f)) << seed;
    const std::size_t at = kEthernetSize + ip + kTcpSize + padding;
    EXPECT_EQ(load_be16(&f[at + 2]), std::min<std::size_t>(mss, promised - around)) << seed;
    EXPECT_EQ(frame, before) << "the frame itself is not modified";
  }
}

TEST(SegmentCut, OnlyTheMssOfAnUnsignedSynIsChanged) {
  const Limits small{kNoLimit, 600};
  const auto unchanged = [&](const Spec& spec) {
    const Bytes frame = build_complete(spec);
    EXPECT_EQ(arrived(cut(frame, {}, small, &test::kMacs)), std::vector<Bytes>{frame});
  };
  Spec spec = syn(4, 0, 1460);
  spec.flags = kTcpAck;
  unchanged(spec);
  spec = syn(4, 0, 400);
  unchanged(spec);
  spec = syn(4, 0, 1460);
  spec.tcp_options[1] = std::byte{3};  // no MSS option has this size
  spec.tcp_options[3] = std::byte{kTcpOptionNop};
  unchanged(spec);
  spec = syn(4, 2, 1460);
  Bytes sign(18);
  sign[0] = std::byte{kTcpOptionMd5};
  sign[1] = std::byte{18};
  spec.tcp_options.resize(6);
  spec.tcp_options.insert(spec.tcp_options.end(), sign.begin(), sign.end());
  unchanged(spec);
}

// A SYN may carry data (RFC 7413), which stays in it.
TEST(SegmentCut, ASynWithDataStaysWhole) {
  Spec spec = syn(4, 1, 1460);
  spec.payload = Bytes(900, std::byte{7});
  const auto frames = arrived(cut(build_complete(spec), {}, {600, 600}, &test::kMacs));
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_TRUE(test::valid(frames[0]));
  EXPECT_TRUE(std::ranges::equal(ByteView(frames[0]).last(900), spec.payload));
}

}  // namespace
}  // namespace eps::l2
