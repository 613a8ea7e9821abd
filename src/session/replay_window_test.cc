// SPDX-License-Identifier: MIT

// In the style of WireGuard's selftest/counter.c, whose cases come first; then the same window is compared with a model
// that remembers everything.

#include "session/replay_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace eps::session {
namespace {

constexpr std::uint32_t kSize = ReplayWindow::kSize;
constexpr std::uint32_t kMax = std::numeric_limits<std::uint32_t>::max();

// The set of all accepted counters, and the rule in words.
class Model {
 public:
  bool would_accept(std::uint32_t counter) const {
    if (seen_.empty()) return true;
    if (counter > highest_) return true;
    return highest_ - counter < kSize && !seen_.contains(counter);
  }
  bool accept(std::uint32_t counter) {
    if (!would_accept(counter)) return false;
    highest_ = std::max(highest_, counter);
    seen_.insert(counter);
    return true;
  }

 private:
  std::set<std::uint32_t> seen_;
  std::uint32_t highest_ = 0;
};

// Window and model side by side; every step is also a test of would_accept.
class Pair {
 public:
  ::testing::AssertionResult step(std::uint32_t counter) {
    const bool would = window_.would_accept(counter);
    const bool got = window_.accept(counter);
    const bool want = model_.accept(counter);
    if (got == want && would == want && !window_.would_accept(counter)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "counter " << counter << " after end " << window_.end() << ": window "
                                         << got << ", would_accept " << would << ", model " << want;
  }
  const ReplayWindow& window() const { return window_; }

 private:
  ReplayWindow window_;
  Model model_;
};

using Steps = std::vector<std::pair<std::uint32_t, bool>>;

void expect_steps(const Steps& steps) {
  ReplayWindow window;
  for (const auto& [counter, accepted] : steps) {
    EXPECT_EQ(window.would_accept(counter), accepted) << counter;
    EXPECT_EQ(window.accept(counter), accepted) << counter;
  }
}

TEST(ReplayWindow, AcceptsEachOfASmallSequenceOnce) {
  constexpr std::uint32_t kLimit = kSize + 1;
  expect_steps({
      {0, true},
      {1, true},
      {1, false},
      {9, true},
      {8, true},
      {7, true},
      {7, false},
      {kLimit, true},
      {kLimit - 1, true},
      {kLimit - 1, false},
      {kLimit - 2, true},
      {2, true},
      {2, false},
      {kLimit + 16, true},
      {3, false},
      {kLimit + 16, false},
      {kLimit * 4, true},
      {kLimit * 4 - (kLimit - 1), false},
      {10, false},
      {kLimit * 4 - kLimit, false},
      {kLimit * 4 - (kLimit + 1), false},
      {kLimit * 4 - (kLimit - 2), true},
      {kLimit * 4 + 1 - kLimit, false},
      {0, false},
  });
}

TEST(ReplayWindow, EndsAtTheLastCounterOfTheWire) {
  expect_steps({{kMax, true},
                {kMax, false},
                {kMax - 1, true},
                {kMax - 1, false},
                {kMax - kSize + 1, true},
                {kMax - kSize + 1, false},
                {kMax - kSize, false},
                {0, false},
                {1, false}});
  ReplayWindow window;
  EXPECT_EQ(window.end(), 0U);
  EXPECT_TRUE(window.accept(kMax));
  EXPECT_EQ(window.end(), std::uint64_t{kMax} + 1);
}

TEST(ReplayWindow, AcceptsARunUpwardsAndARunDownwards) {
  ReplayWindow up;
  for (std::uint32_t i = 1; i <= 3 * kSize; ++i) ASSERT_TRUE(up.accept(i));
  EXPECT_FALSE(up.accept(0));
  for (std::uint32_t i = 1; i <= 3 * kSize; ++i) ASSERT_FALSE(up.accept(i));

  ReplayWindow down;
  for (std::uint32_t i = kSize; i-- > 0;) ASSERT_TRUE(down.accept(i));
  for (std::uint32_t i = kSize; i-- > 0;) ASSERT_FALSE(down.accept(i));

  ReplayWindow beyond;
  for (std::uint32_t i = kSize + 1; i-- > 1;) ASSERT_TRUE(beyond.accept(i));
  EXPECT_FALSE(beyond.accept(0));
}

// Every place in a word (and the words of two turns of the ring) as the highest, with the counters at both edges.
TEST(ReplayWindow, HoldsItsWholeSizeWhereverTheHighestLies) {
  for (std::uint32_t highest = kSize - 1; highest < 3 * kSize + 200; ++highest) {
    ReplayWindow window;
    ASSERT_TRUE(window.accept(0));
    if (highest != 0) {
      ASSERT_TRUE(window.accept(highest));
    }
    const std::uint32_t oldest = highest - kSize + 1;
    if (oldest > 0) {
      ASSERT_FALSE(window.accept(oldest - 1)) << highest;
      ASSERT_TRUE(window.accept(oldest)) << highest;
    }
    ASSERT_FALSE(window.accept(oldest)) << highest;
    ASSERT_TRUE(window.accept(oldest + 1)) << highest;
    ASSERT_TRUE(window.accept(highest - 1)) << highest;
    ASSERT_FALSE(window.accept(highest - 1)) << highest;
    ASSERT_FALSE(window.accept(highest)) << highest;
    ASSERT_TRUE(window.accept(highest + 1)) << highest;
    ASSERT_FALSE(window.accept(oldest)) << highest;
  }
}

// A full window, then a jump of every length that clears anything from no word to all of them: counters still inside
// are refused, skipped ones are accepted.
TEST(ReplayWindow, AJumpForgetsNothingInsideAndKeepsNothingStale) {
  for (std::uint32_t start : {kSize, kSize + 1, kSize + 63, 2 * kSize + 17}) {
    ReplayWindow full;
    for (std::uint32_t i = 0; i <= start; ++i) ASSERT_TRUE(full.accept(i));
    for (std::uint32_t jump = 1; jump <= kSize + 130; jump += jump < 200 || jump > kSize - 200 ? 1 : 61) {
      ReplayWindow window = full;
      const std::uint32_t highest = start + jump;
      ASSERT_TRUE(window.accept(highest));
      for (std::uint32_t back = 1; back <= std::min(highest, kSize + 2); ++back) {
        const std::uint32_t counter = highest - back;
        ASSERT_EQ(window.would_accept(counter), back < kSize && counter > start) << start << " " << jump << " " << back;
      }
    }
  }
}

TEST(ReplayWindow, EveryShortSequenceAgreesWithTheModel) {
  // All sequences of four steps over the counters next to the edges.
  const std::vector<std::uint32_t> edges = {0,         1,          62,         63,        64,       kSize - 1, kSize,
                                            kSize + 1, kSize + 63, kSize + 64, 2 * kSize, kMax - 1, kMax};
  for (const std::uint32_t a : edges) {
    for (const std::uint32_t b : edges) {
      for (const std::uint32_t c : edges) {
        for (const std::uint32_t d : edges) {
          Pair pair;
          for (const std::uint32_t counter : {a, b, c, d}) {
            ASSERT_TRUE(pair.step(counter)) << a << " " << b << " " << c << " " << d;
          }
        }
      }
    }
  }
}

TEST(ReplayWindow, RandomSequencesAgreeWithTheModel) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    Pair pair;
    std::uint64_t base = seed % 2 == 0 ? 0 : kMax - 40000;
    for (int i = 0; i < 20000; ++i) {
      // Mostly near the front, sometimes anywhere in and around the window, rarely a leap.
      const std::uint32_t kind = random() % 100;
      std::int64_t counter = static_cast<std::int64_t>(base);
      if (kind < 60)
        counter += static_cast<std::int64_t>(random() % 8) - 4;
      else if (kind < 99)
        counter -= static_cast<std::int64_t>(random() % (kSize + 200));
      else
        counter += random() % (kSize * 2);
      counter = std::clamp<std::int64_t>(counter, 0, kMax);
      ASSERT_TRUE(pair.step(static_cast<std::uint32_t>(counter))) << "seed " << seed;
      base = std::min<std::uint64_t>(pair.window().end(), kMax);
    }
  }
}

// The worst that a sender of authentic datagrams on bad paths can do: blocks in reverse, interleaved paths a window
// apart, the same block again after each jump, steps of exactly one word, one ring, one window.
TEST(ReplayWindow, AdversarialSequencesAgreeWithTheModel) {
  for (const std::uint32_t stride : {1U, 2U, 63U, 64U, 65U, 127U, 128U, 129U, 4096U, kSize - 1, kSize, kSize + 1,
                                     kSize + 63, kSize + 64, kSize + 65, 2 * kSize, 129 * 64U * 3}) {
    Pair pair;
    for (std::uint32_t i = 0; i < 300; ++i) {
      const std::uint32_t at = 10000 + i * stride;
      for (const std::uint32_t offset : {0U, 1U, 64U, kSize - 1, kSize, kSize + 1, kSize + 64}) {
        ASSERT_TRUE(pair.step(at - std::min(at, offset))) << "stride " << stride;
      }
    }
  }
  Pair reversed;
  for (std::uint32_t block = 0; block < 40; ++block) {
    for (std::uint32_t i = 1000; i-- > 0;) ASSERT_TRUE(reversed.step(block * 1000 + i));
    for (std::uint32_t i = 0; i < 1000; i += 7) ASSERT_TRUE(reversed.step(block * 1000 + i));
  }
  Pair interleaved;
  for (std::uint32_t i = 0; i < 3 * kSize; ++i) {
    ASSERT_TRUE(interleaved.step(kSize + i));
    ASSERT_TRUE(interleaved.step(i));
    ASSERT_TRUE(interleaved.step(i + 2));
  }
}

}  // namespace
}  // namespace eps::session
