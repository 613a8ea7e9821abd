// SPDX-License-Identifier: MIT
#include "node/broadcasts.h"

#include <gtest/gtest.h>

#include <set>

#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::seconds;

constexpr Instant kStart{seconds(100)};

Broadcasts::Frame frame(std::uint32_t n) {
  Bytes bytes(60);
  bytes[12] = std::byte{0x81};
  bytes[13] = std::byte{0x37};
  store_be32(bytes.data() + 20, n);
  return {std::move(bytes), {}};
}

std::vector<MemberId> members(std::uint32_t count) {
  std::vector<MemberId> out;
  for (std::uint32_t id = 1; id <= count; ++id) out.push_back({id});
  return out;
}

class BroadcastsTest : public testing::Test {
 protected:
  // The members that had a turn by `until`, in steps of the deadlines.
  std::set<MemberId> serve(Instant until) {
    std::set<MemberId> out;
    while (now_ <= until) {
      while (const auto turn = broadcasts_.next(rng_, now_)) {
        EXPECT_TRUE(out.insert(turn->to).second);
        frames_ += turn->frames.size();
      }
      if (broadcasts_.next_deadline() == kNever) break;
      now_ = std::max(now_, broadcasts_.next_deadline());
    }
    return out;
  }
  test::SeededRng rng_{5};
  Broadcasts broadcasts_;
  Instant now_ = kStart;
  std::size_t frames_ = 0;
};

TEST_F(BroadcastsTest, ReachASmallNetworkAtOnce) {
  broadcasts_.add(frame(1), members(kBroadcastSessions), kStart);
  EXPECT_EQ(serve(kStart).size(), static_cast<std::size_t>(kBroadcastSessions));
  EXPECT_EQ(broadcasts_.next_deadline(), kNever);
}

TEST_F(BroadcastsTest, ReachALargeNetworkAtABoundedPace) {
  broadcasts_.add(frame(1), members(1000), kStart);
  EXPECT_NEAR(static_cast<double>(serve(kStart + seconds(10)).size()), 240, 2);
  serve(kStart + seconds(60));
  EXPECT_EQ(frames_, 1000U);
}

TEST_F(BroadcastsTest, AreDeliveredTogether) {
  broadcasts_.add(frame(1), members(5), kStart);
  broadcasts_.add(frame(2), members(5), kStart);
  EXPECT_EQ(serve(kStart).size(), 5U);
  EXPECT_EQ(frames_, 10U);
}

TEST_F(BroadcastsTest, AreQueuedOnceWhenRepeated) {
  for (int n = 0; n < 100; ++n) broadcasts_.add(frame(1), members(5), kStart);
  serve(kStart);
  EXPECT_EQ(frames_, 5U);
}

TEST_F(BroadcastsTest, AreLimitedInNumberAndAge) {
  std::size_t gave_way = 0;
  for (std::uint32_t n = 0; n < kMaxBroadcasts + 3; ++n) gave_way += broadcasts_.add(frame(n), members(1), kStart);
  EXPECT_EQ(gave_way, 3U);
  EXPECT_FALSE(broadcasts_.next(rng_, kStart + kBroadcastLife + seconds(1)).has_value());
  EXPECT_EQ(broadcasts_.next_deadline(), kNever);
}

}  // namespace
}  // namespace eps::node
