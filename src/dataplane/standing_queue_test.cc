// SPDX-License-Identifier: MIT
#include "dataplane/standing_queue.h"

#include <gtest/gtest.h>

namespace eps::dataplane {
namespace {

using std::chrono::milliseconds;

class StandingQueueTest : public testing::Test {
 protected:
  // Reads once a millisecond; returns the milliseconds at which losses were requested.
  std::vector<int> run(int ms, bool drained) {
    std::vector<int> losses;
    for (int i = 1; i <= ms; ++i) {
      now_ += milliseconds(1);
      queue_.on_read(drained, now_);
      if (queue_.wants_loss(now_)) losses.push_back(i);
    }
    return losses;
  }
  StandingQueue queue_;
  Instant now_ = Instant(std::chrono::hours(1));
};

TEST_F(StandingQueueTest, LosesNothingIfTheQueueIsSometimesEmpty) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(run(10, false).empty());
    EXPECT_TRUE(run(1, true).empty());
  }
}

TEST_F(StandingQueueTest, LosesMoreAndMorePacketsOfAStandingQueue) {
  const auto losses = run(100, false);
  ASSERT_GE(losses.size(), 5U);
  EXPECT_EQ(losses[0], 11);
  EXPECT_EQ(losses[1] - losses[0], 10);
  for (std::size_t i = 2; i < losses.size(); ++i) {
    EXPECT_LE(losses[i] - losses[i - 1], losses[i - 1] - losses[i - 2]);
  }
}

TEST_F(StandingQueueTest, EndsWithTheQueue) {
  run(60, false);
  EXPECT_TRUE(run(1, true).empty());
  EXPECT_TRUE(run(10, false).empty());
}

TEST_F(StandingQueueTest, ResumesWhereItWasIfTheQueueReturnsSoon) {
  const auto before = run(500, false);
  run(1, true);
  const auto again = run(100, false);
  ASSERT_GE(again.size(), 2U);
  EXPECT_LT(again[1] - again[0], 5);
  run(1, true);
  run(1000, true);
  const auto later = run(100, false);
  EXPECT_EQ(later[1] - later[0], 10);
}

}  // namespace
}  // namespace eps::dataplane
