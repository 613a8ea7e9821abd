// SPDX-License-Identifier: MIT
#include "l2/inner.h"

#include <gtest/gtest.h>

#include "l2/frames_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::Spec;

TEST(Inner, RefusesUnknownKindsAndFlags) {
  Bytes frame = build({});
  for (unsigned kind = 0; kind < 256; ++kind) {
    Bytes plain{static_cast<std::byte>(kind)};
    plain.insert(plain.end(), frame.begin(), frame.end());
    Inner inner;
    const Drop drop = test::Received(plain).decode(inner);
    EXPECT_EQ(drop == Drop::none, kind == 0x01 || kind == 0x81) << kind;
  }
  Inner inner;
  EXPECT_EQ(test::Received(Bytes{}).decode(inner), Drop::malformed);
  EXPECT_EQ(test::Received(Bytes(1, std::byte{1})).decode(inner), Drop::malformed);
}

TEST(Inner, RestoresTheElidedHeaderBesideThePacket) {
  const Bytes frame = build({});
  Bytes plain{std::byte{2}};
  plain.insert(plain.end(), frame.begin() + 14, frame.end());
  test::Received received(plain);
  Inner inner;
  ASSERT_EQ(received.decode(inner), Drop::none);
  EXPECT_TRUE(inner.elided);
  EXPECT_TRUE(equal(inner.ethernet, ByteView(frame).first(14)));
  EXPECT_TRUE(equal(inner.bytes, ByteView(frame).subspan(14)));
  EXPECT_EQ(inner.frame_size(), frame.size());
  EXPECT_EQ(inner.info.l3_offset, 14U);
  EXPECT_EQ(inner.info.src, test::kSelf);
  EXPECT_EQ(inner.info.dst, test::kPeer);
  EXPECT_EQ(load_be16(inner.at(inner.info.l4_offset)), Spec{}.source_port);
}

// The table of RFC 6040, section 4.2.
TEST(Inner, AMarkOfTheOuterHeaderIsCopied) {
  constexpr int kDropped = -1;
  constexpr int kRows[4][4] = {{0, 0, 0, kDropped}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (const std::uint8_t version : {4, 6}) {
    for (unsigned own = 0; own < 4; ++own) {
      for (unsigned outer = 0; outer < 4; ++outer) {
        Spec spec;
        spec.version = version;
        spec.tos = static_cast<std::uint8_t>(0xb8 | own);
        Bytes plain = test::build_complete(spec);
        plain.insert(plain.begin(), std::byte{1});
        test::Received received(plain);
        Inner inner;
        ASSERT_EQ(received.decode(inner), Drop::none);
        ASSERT_EQ(inner.info.traffic_class, spec.tos);
        const int expected = kRows[own][outer];
        EXPECT_EQ(hand_on_congestion(inner, static_cast<std::uint8_t>(0x28 | outer)), expected != kDropped);
        if (expected == kDropped) continue;
        const Bytes frame(inner.bytes.begin(), inner.bytes.end());
        EXPECT_TRUE(test::valid(frame)) << own << outer;
        EXPECT_EQ(parse_frame(frame)->traffic_class, 0xb8 | expected) << own << outer;
        EXPECT_EQ(inner.info.traffic_class, 0xb8 | expected);
      }
    }
  }
}

TEST(Inner, RefusesElidedPacketsThatAreNotExact) {
  const Bytes frame = build({});
  const auto elided = [&](std::uint8_t kind, std::size_t size) {
    Bytes plain{std::byte{kind}};
    plain.insert(plain.end(), frame.begin() + 14, frame.end());
    plain.resize(1 + size);
    Inner inner;
    return test::Received(plain).decode(inner);
  };
  const std::size_t size = frame.size() - 14;
  EXPECT_EQ(elided(2, size), Drop::none);
  EXPECT_EQ(elided(2, size + 1), Drop::malformed);
  EXPECT_EQ(elided(2, size - 1), Drop::malformed);
  EXPECT_EQ(elided(3, size), Drop::malformed);  // not IPv6
}

TEST(Inner, RefusesTheChecksumFlagWhereNoChecksumIsLeftToDo) {
  const auto flagged = [](const Bytes& frame) {
    Bytes plain{std::byte{0x81}};
    plain.insert(plain.end(), frame.begin(), frame.end());
    Inner inner;
    return test::Received(plain).decode(inner);
  };
  Spec spec;
  EXPECT_EQ(flagged(build(spec)), Drop::none);
  spec.fragment = 0x2000;
  EXPECT_EQ(flagged(build(spec)), Drop::malformed);
  spec = {};
  spec.protocol = 1;
  EXPECT_EQ(flagged(build(spec)), Drop::malformed);
  Bytes trailing = build({});
  trailing.resize(60);
  EXPECT_EQ(flagged(trailing), Drop::malformed);
  EXPECT_EQ(flagged(Bytes(60)), Drop::malformed);
}

TEST(Inner, KnowsWhetherAFrameIsForThisMember) {
  Inner inner;
  inner.info.dst = test::kPeer;
  EXPECT_TRUE(for_us(inner, test::kPeer));
  EXPECT_FALSE(for_us(inner, test::kSelf));
  inner.info.dst.bytes[0] |= std::byte{1};
  EXPECT_TRUE(for_us(inner, test::kSelf));
}

}  // namespace
}  // namespace eps::l2
