// SPDX-License-Identifier: MIT
#include "dataplane/group_guard.h"

#include <gtest/gtest.h>

namespace eps::dataplane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{seconds(100)};

Bytes frame(std::uint32_t n) {
  Bytes out(60);
  store_be32(out.data() + 20, n);
  return out;
}

TEST(RateLimit, LetsABurstPassAndThenTheRate) {
  RateLimit limit;
  int passed = 0;
  for (int n = 0; n < 10'000; ++n) passed += limit.take(kStart, milliseconds(1), milliseconds(500)) ? 1 : 0;
  EXPECT_EQ(passed, 501);
  for (int n = 0; n < 10'000; ++n)
    passed += limit.take(kStart + seconds(1), milliseconds(1), milliseconds(500)) ? 1 : 0;
  EXPECT_EQ(passed, 1002);
}

// How many frames pass, of some that loop together, one every millisecond.
int until_blocked(std::uint32_t frames, std::uint32_t self, const GroupState& state) {
  LoopWatch watch;
  for (std::uint32_t n = 0; n < 1000; ++n) {
    if (watch.goes_round(frame(n % frames), state, {self}, kStart + milliseconds(1) * n)) return static_cast<int>(n);
  }
  return -1;
}

TEST(LoopWatch, DetectsLoopingFrames) {
  const GroupState state;
  EXPECT_EQ(until_blocked(1, 5, state), 66);
  EXPECT_EQ(until_blocked(10, 5, state), 93);
}

TEST(LoopWatch, IgnoresProgramsThatRepeatThemselves) {
  LoopWatch watch;
  const GroupState state;
  for (int n = 0; n < 600; ++n) {
    EXPECT_FALSE(watch.goes_round(frame(1), state, {5}, kStart + milliseconds(30) * n));
    EXPECT_FALSE(watch.goes_round(frame(static_cast<std::uint32_t>(n)), state, {5}, kStart + milliseconds(30) * n));
  }
}

TEST(LoopWatch, LetsTheOtherBridgeBlockFirst) {
  GroupState state;
  state.twin = 6;
  state.twin_at = kStart.time_since_epoch().count();
  EXPECT_EQ(until_blocked(10, 7, state), 93);
  EXPECT_EQ(until_blocked(10, 5, state), 285);
}

}  // namespace
}  // namespace eps::dataplane
