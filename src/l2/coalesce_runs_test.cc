// SPDX-License-Identifier: MIT

// The runs of a round: their order, many at once, and where each of them ends.

#include <gtest/gtest.h>

#include <vector>

#include "l2/coalesce.h"
#include "l2/coalesce_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::joined;
using test::next_of;
using test::Round;
using test::Spec;
using test::spec_of;
using test::Written;

// A frame that cannot be joined ends its flow's run and comes after it, so that nothing later overtakes it.
TEST(Coalesce, KeepsTheOrderWithinAFlow) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  const Spec b = next_of(a, 100);
  Spec pure_ack = next_of(b, 0);
  const Spec c = next_of(b, 100);
  Round round;
  for (const Spec& s : {a, b, pure_ack, c, next_of(c, 100)}) round.add_partial(s);
  std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[1].frame, build_complete(pure_ack));
  // A fragment names no ports, so it ends every run.
  Spec fragment = spec_of(4, kProtocolUdp, 10);
  fragment.fragment = 0x2000;
  round.add_partial(a);
  round.add_frame(build(fragment), false);
  round.add_partial(b);
  EXPECT_EQ(round.finish().size(), 3U);
  // A frame of another kind does not.
  Bytes other(60);
  round.add_partial(a);
  round.add_frame(other, false);
  round.add_partial(b);
  out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, build(joined({a, b})));
  EXPECT_EQ(out[1].frame, other);
}

TEST(Coalesce, JoinsInterleavedFlows) {
  constexpr std::size_t kFlows = Coalescer::kMaxOpenRuns;
  const auto writes = [](std::size_t flows) {
    std::vector<Spec> specs;
    for (std::size_t f = 0; f < flows; ++f) {
      specs.push_back(spec_of(f % 2 ? 4 : 6, f % 3 ? kProtocolTcp : kProtocolUdp, 50));
      specs.back().port = static_cast<std::uint16_t>(1000 + f);
    }
    Round round;
    for (int i = 0; i < 5; ++i) {
      for (Spec& spec : specs) {
        round.add_partial(spec);
        spec = next_of(spec, 50);
      }
    }
    return round.finish().size();
  };
  EXPECT_EQ(writes(3), 3U);
  EXPECT_EQ(writes(kFlows), kFlows);
  EXPECT_GT(writes(kFlows + 1), kFlows + 1);
}

TEST(Coalesce, ACrowdOfSmallFlowsDoesNotEndTheBusyOne) {
  Round round;
  Spec busy = spec_of(4, kProtocolTcp, 100);
  Spec small = spec_of(4, kProtocolUdp, 10);
  for (std::size_t i = 0; i < 100; ++i) {
    round.add_partial(busy);
    busy = next_of(busy, 100);
    ++small.port;
    round.add_partial(small);
  }
  EXPECT_EQ(round.finish().size(), 101U);
}

TEST(Coalesce, StopsAt64Kilobytes) {
  for (const std::uint8_t version : {4, 6}) {
    Round round;
    Spec spec = spec_of(version, kProtocolTcp, 1400);
    Bytes payload;
    for (int i = 0; i < 100; ++i) {
      round.add_partial(spec);
      payload.insert(payload.end(), spec.payload.begin(), spec.payload.end());
      spec = next_of(spec, 1400);
    }
    const std::vector<Written> out = round.finish();
    ASSERT_EQ(out.size(), 3U);  // 46 segments each
    Bytes written;
    for (const Written& w : out) {
      const auto info = parse_frame(w.frame);
      ASSERT_TRUE(info);
      EXPECT_LE(w.frame.size(), 14U + 65535);
      EXPECT_EQ(info->ip_end, w.frame.size());
      written.insert(written.end(), w.frame.begin() + static_cast<std::ptrdiff_t>(info->payload_offset), w.frame.end());
    }
    EXPECT_EQ(written, payload);
  }
}

// One byte more would not fit the IP length field.
TEST(Coalesce, FillsAnIpPacketToItsLastByte) {
  for (const std::uint8_t version : {4, 6}) {
    for (const std::size_t over : {0, 1}) {
      const std::size_t room = 65535 - (version == 4 ? kIp4Size : kIp6Size) - kTcpSize;
      Round round;
      Spec spec = spec_of(version, kProtocolTcp, 1400);
      for (std::size_t left = room + over; left > 0; left -= spec.payload.size()) {
        if (left != room + over) spec = next_of(spec, std::min<std::size_t>(1400, left));
        round.add_partial(spec);
      }
      const std::vector<Written> out = round.finish();
      ASSERT_EQ(out.size(), 1U + over);
      if (over == 0) {
        EXPECT_EQ(out[0].frame.size(), 14U + 65535);
      }
    }
  }
}

TEST(Coalesce, BoundsTheSegmentsOfARun) {
  const auto writes = [](std::uint8_t protocol, std::size_t count) {
    Round round;
    Spec spec = spec_of(4, protocol, 10);
    for (std::size_t i = 0; i < count; ++i) {
      round.add_partial(spec);
      spec = next_of(spec, 10);
    }
    return round.finish().size();
  };
  EXPECT_EQ(writes(kProtocolUdp, Coalescer::kMaxUdpSegments), 1U);
  EXPECT_EQ(writes(kProtocolUdp, Coalescer::kMaxUdpSegments + 1), 2U);
  EXPECT_EQ(writes(kProtocolTcp, Coalescer::kMaxRunSegments), 1U);
  EXPECT_EQ(writes(kProtocolTcp, Coalescer::kMaxRunSegments + 1), 2U);
}

TEST(Coalesce, TakesNoMoreThanARoundHolds) {
  Bytes plain{std::byte{1}};
  plain.resize(61);
  test::Received received(plain);
  Inner inner;
  ASSERT_EQ(received.decode(inner), Drop::none);
  Coalescer coalescer({});
  EXPECT_TRUE(coalescer.empty());
  for (std::size_t i = 0; i < Coalescer::kMaxFrames; ++i) ASSERT_TRUE(coalescer.add(inner));
  EXPECT_FALSE(coalescer.add(inner));
  EXPECT_EQ(coalescer.finish().size(), Coalescer::kMaxFrames);
  coalescer.reset();
  EXPECT_TRUE(coalescer.empty());
  EXPECT_TRUE(coalescer.add(inner));
  EXPECT_EQ(coalescer.finish().size(), 1U);
}

}  // namespace
}  // namespace eps::l2
