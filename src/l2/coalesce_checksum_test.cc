// SPDX-License-Identifier: MIT

// Checksums: verified before frames are joined, otherwise left alone, and completed for a TAP that cannot.

#include <gtest/gtest.h>

#include <vector>

#include "l2/coalesce_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::joined;
using test::next_of;
using test::Round;
using test::same_meta;
using test::Spec;
using test::spec_of;
using test::Written;

TEST(Coalesce, ProvesComputedChecksumsBeforeItJoins) {
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      const Spec a = spec_of(version, protocol, 101);
      const Spec b = next_of(a, 101);
      const Spec c = next_of(b, 33);
      Round round;
      round.add_complete(a);
      round.add_partial(b);
      round.add_complete(c);
      std::vector<Written> out = round.finish();
      ASSERT_EQ(out.size(), 1U);
      EXPECT_EQ(out[0].frame, build(joined({a, b, c})));
      // A wrong one stays alone, unchanged, and is never declared valid.
      Bytes wrong = build_complete(b);
      wrong.back() ^= std::byte{1};
      round.add_complete(a);
      round.add_frame(wrong, false);
      round.add_complete(c);
      out = round.finish();
      ASSERT_EQ(out.size(), 3U);
      EXPECT_EQ(out[0].frame, build_complete(a));
      EXPECT_EQ(out[1].frame, wrong);
      EXPECT_TRUE(same_meta(out[1].meta, {}));
      EXPECT_EQ(out[2].frame, build_complete(c));
    }
  }
}

TEST(Coalesce, TrailingBytesStayWithTheirFrame) {
  const Spec a = spec_of(4, kProtocolTcp, 3);
  Bytes trailing = build_complete(a);
  trailing.resize(60);
  Bytes next = build_complete(next_of(a, 3));
  next.resize(60);
  Round round;
  round.add_frame(trailing, false);
  round.add_frame(next, false);
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, trailing);
  EXPECT_EQ(out[1].frame, next);
}

// The joined header gets a correct checksum, which must not repair a packet that was damaged before it was sealed.
TEST(Coalesce, DoesNotRepairAnIp4Header) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  Bytes wrong = build(next_of(a, 100));
  wrong[24] ^= std::byte{1};
  Round round;
  round.add_partial(a);
  round.add_frame(wrong, true);
  round.add_partial(next_of(next_of(a, 100), 100));
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].frame, build_complete(a));
  EXPECT_TRUE(equal(ByteView(out[1].frame).first(34), ByteView(wrong).first(34)));
}

// A packet socket on the interface sees the frame as it is written.
TEST(Coalesce, ALoneFrameHasItsChecksum) {
  const Spec spec = spec_of(4, kProtocolTcp, 100);
  Round round;
  round.add_complete(spec);
  std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].frame, build_complete(spec));
  EXPECT_TRUE(same_meta(out[0].meta, {}));
  round.add_partial(spec);
  out = round.finish();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].frame, build_complete(spec));
  ports::FrameMeta valid;
  valid.checksum_valid = true;
  EXPECT_TRUE(same_meta(out[0].meta, valid));
}

TEST(Coalesce, UdpWithoutAChecksumStaysAsItIs) {
  const Spec a = spec_of(4, kProtocolUdp, 100);
  Bytes first = build(a);
  Bytes second = build(next_of(a, 100));
  store_be16(&first[34 + kUdpChecksum], 0);
  store_be16(&second[34 + kUdpChecksum], 0);
  Round round;
  round.add_frame(first, false);
  round.add_frame(second, false);
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, first);
  EXPECT_EQ(out[1].frame, second);
  EXPECT_TRUE(same_meta(out[0].meta, {}));
}

TEST(Coalesce, DoesOnlyWhatTheTapTakes) {
  const auto writes = [](const Offloads& offloads, std::uint8_t protocol) {
    Round round(offloads);
    const Spec a = spec_of(4, protocol, 100);
    round.add_partial(a);
    round.add_partial(next_of(a, 100));
    const std::vector<Written> out = round.finish();
    for (const Written& w : out) {
      if (!offloads.checksum) {
        EXPECT_TRUE(test::valid(w.frame));
        EXPECT_TRUE(same_meta(w.meta, {}));
      }
    }
    return out.size();
  };
  EXPECT_EQ(writes({true, false, true}, kProtocolTcp), 1U);
  EXPECT_EQ(writes({true, false, true}, kProtocolUdp), 2U);
  EXPECT_EQ(writes({false, true, true}, kProtocolTcp), 2U);
  EXPECT_EQ(writes({false, true, true}, kProtocolUdp), 1U);
  EXPECT_EQ(writes({true, true, false}, kProtocolTcp), 2U);
  EXPECT_EQ(writes({true, true, false}, kProtocolUdp), 2U);
}

}  // namespace
}  // namespace eps::l2
