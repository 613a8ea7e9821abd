// SPDX-License-Identifier: MIT
#include "node/initiation_limit.h"

#include <gtest/gtest.h>

namespace eps::node {
namespace {

using std::chrono::seconds;

TEST(InitiationLimit, AFloodOfStrangersDoesNotCountAsRelayedLoad) {
  InitiationLimit limit;
  const Instant now{seconds(100)};
  for (int n = 0; n < kLoadLimit; ++n) EXPECT_FALSE(limit.under_load(false, now));
  EXPECT_TRUE(limit.under_load(false, now));
  EXPECT_FALSE(limit.under_load(true, now));
  EXPECT_FALSE(limit.under_load(false, now + seconds(1)));
}

TEST(InitiationLimit, AFloodFromForgedAddressesTakesNoCookieFromAPeer) {
  InitiationLimit limit;
  const Instant now{seconds(100)};
  const IpAddress peer = *parse_ip("192.0.2.1");
  limit.set_addresses({*parse_ip("2001:db8::1"), peer, *parse_ip("192.0.2.0")}, now);
  int offered = 0;
  for (std::uint32_t n = 0; n < 5 * kCookieRate; ++n) {
    offered += limit.offers_cookie(IpAddress::from_v4({0x0a000000U + n}), now) ? 1 : 0;
  }
  EXPECT_EQ(offered, kCookieRate);
  EXPECT_TRUE(limit.offers_cookie(peer, now));
  EXPECT_FALSE(limit.offers_cookie(*parse_ip("192.0.2.2"), now));
  EXPECT_TRUE(limit.offers_cookie(*parse_ip("192.0.2.2"), now + seconds(1)));
}

TEST(InitiationLimit, WantsTheAddressesOfPeersUnderLoadOnceASecond) {
  InitiationLimit limit;
  Instant now{seconds(100)};
  EXPECT_FALSE(limit.wants_addresses(now));
  for (int n = 0; n < kLoadLimit; ++n) limit.under_load(false, now);
  EXPECT_TRUE(limit.wants_addresses(now));
  limit.set_addresses({}, now);
  EXPECT_FALSE(limit.wants_addresses(now));
  now += seconds(1);
  EXPECT_FALSE(limit.wants_addresses(now));
  for (int n = 0; n < kLoadLimit; ++n) limit.under_load(false, now);
  EXPECT_TRUE(limit.wants_addresses(now));
}

TEST(InitiationLimit, EachSourceHasItsOwnRateAndA64IsOneSource) {
  InitiationLimit limit;
  Instant now{seconds(100)};
  const auto admitted = [&](const char* source) {
    int n = 0;
    for (int i = 0; i < 1000; ++i) n += limit.admit(*parse_ip(source), now) ? 1 : 0;
    return n;
  };
  EXPECT_EQ(admitted("192.0.2.1"), kSourceRate);
  EXPECT_EQ(admitted("192.0.2.2"), kSourceRate);
  EXPECT_EQ(admitted("2001:db8::1"), kSourceRate);
  EXPECT_EQ(admitted("2001:db8::2"), 0);
  EXPECT_EQ(admitted("2001:db8:0:1::2"), kSourceRate);
  now += seconds(1);
  EXPECT_EQ(admitted("192.0.2.1"), kSourceRate);
}

TEST(InitiationLimit, RemembersABoundedNumberOfSources) {
  InitiationLimit limit;
  Instant now{seconds(100)};
  for (std::uint32_t n = 0; n < 2 * kMaxInitiationSources; ++n) limit.admit(IpAddress::from_v4({0x0a000000U + n}), now);
  EXPECT_EQ(limit.sources(), kMaxInitiationSources);
  now += seconds(2);
  EXPECT_TRUE(limit.admit(*parse_ip("192.0.2.1"), now));
  EXPECT_EQ(limit.sources(), 1U);
}

}  // namespace
}  // namespace eps::node
