// SPDX-License-Identifier: MIT
#include "control/join_limit.h"

#include <gtest/gtest.h>

namespace eps::control {
namespace {

constexpr Instant kStart{std::chrono::hours(1)};
const IpAddress kHome = IpAddress::from_v4({0x0a000001});

TEST(JoinLimit, ABurstIsAdmittedAndThenOneAtATime) {
  JoinLimit limit;
  for (int i = 0; i < kJoinBurst; ++i) EXPECT_TRUE(limit.take(kHome, kStart)) << i;
  EXPECT_FALSE(limit.take(kHome, kStart));
  EXPECT_EQ(limit.wait_for(kHome, kStart), kJoinRefill);
  EXPECT_FALSE(limit.take(kHome, kStart + kJoinRefill - Duration(1)));
  EXPECT_TRUE(limit.take(kHome, kStart + kJoinRefill));
  EXPECT_FALSE(limit.take(kHome, kStart + kJoinRefill));
}

TEST(JoinLimit, SourcesHaveSeparateBuckets) {
  JoinLimit limit;
  while (limit.take(kHome, kStart)) continue;
  EXPECT_TRUE(limit.take(IpAddress::from_v4({0x0a000002}), kStart));
}

TEST(JoinLimit, AnIpv6SubscriberIsOneSource) {
  JoinLimit limit;
  IpAddress ip = *parse_ip("2001:db8:1:2::1");
  for (int i = 0; i < kJoinBurst; ++i) {
    ip.bytes[15] = static_cast<std::byte>(i);
    EXPECT_TRUE(limit.take(ip, kStart));
  }
  EXPECT_FALSE(limit.take(*parse_ip("2001:db8:1:2:ffff::"), kStart));
  EXPECT_TRUE(limit.take(*parse_ip("2001:db8:1:3::1"), kStart));
}

TEST(JoinLimit, ManySourcesDoNotMakeItForgetTheBusiest) {
  JoinLimit limit;
  while (limit.take(kHome, kStart)) continue;
  for (std::uint32_t n = 0; n < 2 * kMaxJoinSources; ++n) limit.take(IpAddress::from_v4({0x14000000 + n}), kStart);
  EXPECT_FALSE(limit.take(kHome, kStart));
}

}  // namespace
}  // namespace eps::control
