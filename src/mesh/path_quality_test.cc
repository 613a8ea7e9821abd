// SPDX-License-Identifier: MIT
#include "mesh/path_quality.h"

#include <gtest/gtest.h>

namespace eps::mesh {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PathQualityTest : public testing::Test {
 protected:
  // One ping every 100 ms, of which one in `of` is lost (0: none).
  void pings(int n, int of, Duration round_trip = milliseconds(10)) {
    for (int i = 0; i < n; ++i) {
      quality.on_ping(++id, true, now);
      if (of == 0 || i % of != 0) quality.on_pong(id, now + round_trip);
      now += milliseconds(100);
      quality.expire(now);
    }
  }
  Instant now{seconds(100)};
  std::uint64_t id = 0;
  PathQuality quality;
};

TEST_F(PathQualityTest, ALostPingIsOneLossInTwoCrossings) {
  pings(100, 5);
  EXPECT_NEAR(quality.loss(), 0.1, 0.03);
  EXPECT_TRUE(quality.lossy());
}

TEST_F(PathQualityTest, APeerThatStoodStillDoesNotMakeTheWaySlow) {
  pings(3, 0);
  quality.on_round_trip(milliseconds(1600));
  EXPECT_GT(quality.round_trip(), milliseconds(400));
  pings(1, 0);
  EXPECT_EQ(quality.round_trip(), milliseconds(10));
  pings(1, 0, milliseconds(14));
  EXPECT_EQ(quality.round_trip(), milliseconds(11)) << "ordinary changes are averaged";
}

TEST_F(PathQualityTest, CountsOfThePeerShowTheLossOfOurDirection) {
  quality.on_counts(100, 20, now);
  EXPECT_NEAR(quality.loss(), 0.2, 0.001);
  EXPECT_TRUE(quality.lossy());
  PathQuality clean;
  clean.on_counts(20, 3, now);
  clean.on_counts(20, -3, now);
  EXPECT_EQ(clean.loss(), 0) << "they arrived late";
}

TEST_F(PathQualityTest, OneLossIsNoEvidence) {
  pings(10, 0);
  quality.on_ping(++id, true, now);
  now += PathQuality::kLostAfter;
  quality.expire(now);
  EXPECT_FALSE(quality.lossy());
}

TEST_F(PathQualityTest, RecoversAfterSomeSecondsWithoutALoss) {
  pings(60, 3);
  ASSERT_TRUE(quality.lossy());
  pings(30, 0);
  EXPECT_TRUE(quality.lossy()) << "3 s are few";
  pings(270, 0);
  EXPECT_FALSE(quality.lossy());
}

TEST_F(PathQualityTest, UnansweredSearchPingIsNotALoss) {
  for (int i = 0; i < 50; ++i) {
    quality.on_ping(++id, false, now);
    now += milliseconds(200);
    quality.expire(now);
  }
  EXPECT_EQ(quality.loss(), 0);
  quality.on_ping(++id, true, now);
  quality.cancel();
  now += seconds(5);
  quality.expire(now);
  EXPECT_EQ(quality.loss(), 0) << "the way was given up";
}

TEST_F(PathQualityTest, ALateAnswerStillProvesTheWay) {
  quality.on_ping(++id, true, now);
  now += seconds(3);
  quality.expire(now);
  EXPECT_EQ(quality.on_pong(id, now), seconds(3));
  EXPECT_FALSE(quality.on_pong(id, now)) << "once";
}

TEST_F(PathQualityTest, TcpPrefersASlowCleanWayToAFastLossyOne) {
  PathQuality slow;
  slow.on_round_trip(milliseconds(60));
  slow.on_counts(100, 0, now);
  quality.on_round_trip(milliseconds(1));
  quality.on_counts(100, 20, now);
  EXPECT_LT(2 * slow.cost(), quality.cost());
}

TEST_F(PathQualityTest, AFewPingsDoNotOutweighManyDatagrams) {
  PathQuality few;
  few.on_round_trip(milliseconds(10));
  few.on_counts(4, 0, now);
  quality.on_round_trip(milliseconds(10));
  quality.on_counts(2000, 10, now);
  EXPECT_LT(quality.cost(), few.cost());
}

constexpr Instant kBegan{std::chrono::seconds(100)};
constexpr Instant kSettled = kBegan + PathTally::kSettle;

TEST(PathTally, ComparesWhatWasSentWithWhatThePeerCounted) {
  PathTally tally;
  tally.on_ping(9, 5, {}, kBegan);
  tally.on_ping(1, 5, {100, 0}, kSettled);
  EXPECT_FALSE(tally.on_pong(1, {.arrived = 4'294'967'290U, .lost_there = 0})) << "nothing to compare with";
  tally.on_ping(2, 5, {200, 0}, kSettled);
  tally.on_ping(3, 5, {300, 0}, kSettled);
  const auto result = tally.on_pong(3, {.arrived = 144, .lost_there = 0});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->sent, 200U);
  EXPECT_EQ(result->lost, 50) << "the count wraps";
  EXPECT_EQ(result->key, 5U);
  EXPECT_FALSE(tally.on_pong(2, {.arrived = 100, .lost_there = 0})) << "overtaken";
}

// Otherwise one such answer would hide all loss for ever.
TEST(PathTally, ACountThatGoesBackIsASmallLoss) {
  PathTally tally;
  tally.on_ping(9, 5, {}, kBegan);
  tally.on_ping(1, 5, {100, 0}, kSettled);
  tally.on_pong(1, {.arrived = 100, .lost_there = 5});
  tally.on_ping(2, 5, {101, 0}, kSettled);
  const auto result = tally.on_pong(2, {.arrived = 99, .lost_there = 4});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->lost, 2);
}

TEST(PathTally, DropsAtEitherEndAreNotChargedToTheWay) {
  PathTally tally;
  tally.on_ping(9, 5, {}, kBegan);
  tally.on_ping(1, 5, {0, 10}, kSettled);
  tally.on_pong(1, {.arrived = 0, .lost_there = 3});
  tally.on_ping(2, 5, {100, 20}, kSettled);
  const auto result = tally.on_pong(2, {.arrived = 50, .lost_there = 33});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->lost, 10);
}

TEST(PathTally, AnotherPathOrSessionStartsFromZero) {
  PathTally tally;
  tally.on_ping(9, 5, {}, kBegan);
  tally.on_ping(1, 5, {100, 0}, kSettled);
  tally.on_pong(1, {.arrived = 100, .lost_there = 0});
  tally.on_ping(2, 6, {200, 0}, kSettled);
  tally.on_ping(3, 6, {200, 0}, kSettled + PathTally::kSettle);
  EXPECT_FALSE(tally.on_pong(3, {.arrived = 100, .lost_there = 0}));
}

// Datagrams sent just before by another path, from a thread that did not know of the change yet, have not arrived by
// this one.
TEST(PathTally, TheFirstMomentOfAPathProvesNothing) {
  PathTally tally;
  tally.on_ping(1, 5, {0, 0}, kBegan);
  EXPECT_FALSE(tally.on_pong(1, {.arrived = 0, .lost_there = 0}));
  tally.on_ping(2, 5, {150, 0}, kBegan + PathTally::kSettle / 2);
  EXPECT_FALSE(tally.on_pong(2, {.arrived = 130, .lost_there = 0}));
  tally.on_ping(3, 5, {300, 0}, kSettled);
  EXPECT_FALSE(tally.on_pong(3, {.arrived = 280, .lost_there = 0}));
  tally.on_ping(4, 5, {400, 0}, kSettled);
  const auto result = tally.on_pong(4, {.arrived = 380, .lost_there = 0});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->lost, 0);
}

}  // namespace
}  // namespace eps::mesh
