// SPDX-License-Identifier: MIT
#include "control/endpoint_news.h"

#include <gtest/gtest.h>

namespace eps::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = EndpointNews::Verdict;

constexpr Instant kStart{std::chrono::hours(1)};
constexpr MemberId kA{1}, kB{2};

std::vector<Candidate> at(std::uint16_t port) {
  return {{Candidate::Kind::local, {IpAddress::from_v4({0x0a000001U}), port}}};
}

TEST(EndpointNews, ALaptopThatRoamsIsNotHeldUp) {
  EndpointNews news;
  for (std::uint16_t n = 0; n < 60; ++n) {
    news.announced(kA, at(n));
    EXPECT_EQ(news.judge(kA, kStart + milliseconds(n)), Verdict::now);
    EXPECT_EQ(news.take(kA).announced, at(n));
  }
  EXPECT_EQ(news.next_deadline(), kNever);
}

TEST(EndpointNews, OfAFloodTheLastChangePassesWithinASecondOnceASecond) {
  EndpointNews news;
  int passed = 0;
  Instant last{};
  std::uint16_t newest = 0;
  for (int ms = 0; ms < 20'000; ++ms) {
    const Instant now = kStart + milliseconds(ms);
    for (const MemberId member : news.take_due(now)) {
      EXPECT_EQ(news.take(member).announced, at(newest)) << "the last one";
      ++passed;
      EXPECT_LE(now - last, seconds(1));
      last = now;
    }
    newest = static_cast<std::uint16_t>(ms);
    news.announced(kA, at(newest));
    if (news.judge(kA, now) != Verdict::now) continue;
    (void)news.take(kA);
    ++passed;
    last = now;
  }
  EXPECT_GE(passed, 79);
  EXPECT_LE(passed, 81);
  EXPECT_TRUE(news.waits(kA));
  EXPECT_LE(news.next_deadline(), kStart + seconds(21));
  news.announced(kB, at(1));
  EXPECT_EQ(news.judge(kB, kStart + seconds(20)), Verdict::now) << "another member";
}

TEST(EndpointNews, AFlooderIsNamedOnceAMinute) {
  EndpointNews news;
  int named = 0;
  for (int s = 0; s < 180; ++s) {
    for (int n = 0; n < 10; ++n) {
      news.announced(kA, at(1));
      named += news.judge(kA, kStart + seconds(s)) == Verdict::flooded ? 1 : 0;
    }
    if (news.waits(kA)) (void)news.take_due(kStart + seconds(s + 1));
  }
  EXPECT_EQ(named, 3);
  EXPECT_TRUE(news.floods(kA, kStart + seconds(200)));
  EXPECT_FALSE(news.floods(kA, kStart + seconds(260)));
  EXPECT_GT(news.held(kA), 1000U);
}

TEST(EndpointNews, AFlappingNetworkIsNoFlood) {
  EndpointNews news;
  for (int s = 0; s < 600; ++s) {
    for (int n = 0; n < 2; ++n) {  // two changes every two seconds
      if (s % 2 != 0) continue;
      news.announced(kA, at(static_cast<std::uint16_t>(s)));
      if (news.judge(kA, kStart + seconds(s)) == Verdict::now) (void)news.take(kA);
    }
    for (const MemberId member : news.take_due(kStart + seconds(s))) (void)news.take(member);
  }
  EXPECT_FALSE(news.floods(kA, kStart + seconds(600)));
  EXPECT_EQ(news.held(kA), 0U);
}

TEST(EndpointNews, OfTheDataSocketTheLastEndpointOfEachFamilyCounts) {
  EndpointNews news;
  const Endpoint v4{IpAddress::from_v4({0xc0000201U}), 1}, other{IpAddress::from_v4({0xc0000202U}), 1};
  const Endpoint v6 = *parse_endpoint("[2001:db8::1]:1");
  for (const Endpoint& e : {v4, v6, other}) news.observed(kA, e);
  EXPECT_EQ(news.take(kA).observed, (std::vector{v6, other}));
  news.observed(kA, v4);
  news.forget(kA);
  EXPECT_TRUE(news.take(kA).observed.empty());
}

}  // namespace
}  // namespace eps::control
