// SPDX-License-Identifier: MIT
#include "node/relay_quotas.h"

#include <gtest/gtest.h>

namespace eps::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{std::chrono::hours(1)};
constexpr MemberId kA{1}, kB{2};

// The bytes that pass within this time, of 100 datagrams of 1,000 bytes each millisecond.
std::size_t passes(dataplane::RelayQuota& quota, Instant from, Duration time) {
  std::size_t bytes = 0;
  for (Instant now = from; now < from + time; now += milliseconds(1)) {
    for (int n = 0; n < 100; ++n) bytes += quota.take(1000, now) ? 1000 : 0;
  }
  return bytes;
}

TEST(RelayQuota, ARateHasABurstAndIsExactAfterwards) {
  dataplane::RelayQuota quota;
  quota.set({.bits_per_second = 80'000'000});
  const std::size_t first = passes(quota, kStart, seconds(1));
  EXPECT_NEAR(static_cast<double>(first), 10e6 + 2e6, 2e4) << "a second, and 200 ms at once";
  EXPECT_NEAR(static_cast<double>(passes(quota, kStart + seconds(1), seconds(10))), 100e6, 2e4);
  EXPECT_EQ(quota.bytes_dropped() + first + 100'000'000, 11 * 100'000'000U);
}

TEST(RelayQuota, CountsPackets) {
  dataplane::RelayQuota quota;
  quota.set({.packets_per_second = 1000});
  EXPECT_EQ(passes(quota, kStart, seconds(1)) / 1000, 1256U) << "256 at once";
  EXPECT_EQ(passes(quota, kStart + seconds(1), seconds(1)) / 1000, 1000U);
}

TEST(RelayQuota, AVolumeMayBeUsedAtOnceAndComesBackInADay) {
  dataplane::RelayQuota quota;
  quota.set({.bytes_per_day = 1'000'000});
  EXPECT_EQ(passes(quota, kStart, seconds(1)) / 1000, 1001U);
  EXPECT_EQ(passes(quota, kStart + std::chrono::hours(6), seconds(1)) / 1000, 250U);
}

TEST(RelayQuota, WhatOneLimitRefusesCostsNothingOfTheOthers) {
  dataplane::RelayQuota quota;
  quota.set({.bits_per_second = 64'000, .packets_per_second = 1'000'000, .bytes_per_day = 10'000'000});
  (void)passes(quota, kStart, seconds(10));
  quota.set({.bytes_per_day = 10'000'000});
  // 256 KiB at once, and 8,000 a second.
  EXPECT_NEAR(static_cast<double>(passes(quota, kStart + seconds(10), seconds(1))), 10e6 - 342e3, 3e3);
}

TEST(RelayQuota, WithoutALimitEverythingPasses) {
  dataplane::RelayQuota quota;
  EXPECT_EQ(passes(quota, kStart, seconds(1)), 100'000'000U);
  quota.set({.bits_per_second = 64'000});
  quota.set({});
  EXPECT_EQ(passes(quota, kStart, seconds(1)), 100'000'000U);
}

TEST(RelayQuotas, TellsAtOnceAndThenEveryMinuteAsLongAsItGoesOn) {
  RelayQuotas quotas({.bits_per_second = 64'000});
  const auto flood = [&](Instant now) { return passes(*quotas.of(kA), now, milliseconds(20)); };
  EXPECT_EQ(quotas.next_deadline(), kNever);
  (void)flood(kStart);
  EXPECT_TRUE(quotas.of(kA)->begin_telling());
  EXPECT_FALSE(quotas.of(kA)->begin_telling()) << "once";
  EXPECT_EQ(sentence_of(quotas.begin(kA, kStart), "a", quotas.limit()),
            "a sends more through this relay than 64kbit: the rest is dropped.");
  EXPECT_TRUE(quotas.exceeds(kA));
  EXPECT_FALSE(quotas.exceeds(kB));

  EXPECT_TRUE(quotas.take_due(kStart + seconds(59)).empty());
  const std::size_t passed = flood(kStart + seconds(59));
  const auto due = quotas.take_due(kStart + seconds(60));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].packets, 2000 - passed / 1000);
  EXPECT_EQ(sentence_of(due[0], "a", quotas.limit()),
            "a sends more through this relay than 64kbit: " + std::to_string(due[0].packets) + " packets (" +
                std::to_string(due[0].bytes) + " bytes) were dropped within a minute.");

  EXPECT_TRUE(quotas.take_due(kStart + seconds(120)).empty()) << "it has stopped";
  EXPECT_FALSE(quotas.exceeds(kA));
  EXPECT_EQ(quotas.next_deadline(), kNever);
  EXPECT_TRUE(quotas.of(kA)->begin_telling()) << "the next time it is told at once";
}

TEST(RelayQuotas, AFormerMemberIsForgotten) {
  RelayQuotas quotas({.bits_per_second = 64'000});
  (void)passes(*quotas.of(kA), kStart, seconds(1));
  quotas.begin(kA, kStart);
  EXPECT_GT(quotas.packets_dropped(kA), 0U);
  quotas.forget(kA);
  EXPECT_EQ(quotas.packets_dropped(kA), 0U);
  EXPECT_TRUE(quotas.take_due(kStart + seconds(60)).empty());
}

}  // namespace
}  // namespace eps::node
