// SPDX-License-Identifier: MIT
#include "mesh/path_mtu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "support/seeded_rng.h"

namespace eps::mesh {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kWanted = 1551;
const Way kDirect = Way::straight({IpAddress::from_v4({0x0a000001}), 1});

// A way that loses what is larger than `limit` (IP bytes), and some of all else.
struct Lab {
  explicit Lab(std::size_t limit_, std::size_t wanted_ = kWanted) : limit(limit_), wanted(wanted_) {
    sizes.use(way, headers, wanted, now);
  }
  void step() {
    while (!answers.empty() && answers.front().first <= now) {
      sizes.on_answer(answers.front().second, now);
      answers.pop_front();
    }
    for (const auto& probe : sizes.take_due(large, round_trip, now)) {
      ++sent;
      EXPECT_EQ(probe.way, way);
      EXPECT_LE(probe.size, wanted);
      const bool passes = probe.size + headers <= limit && rng.below(100) >= loss;
      if (passes && !dead) answers.emplace_back(now + round_trip, probe.id);
    }
    sizes.take_shrunk();
    now += milliseconds(1);
  }
  void run(Duration time) {
    for (const Instant end = now + time; now < end;) step();
  }
  // How long until the size is right to within a few bytes.
  Duration until(std::size_t packet, Duration longest) {
    const Instant began = now;
    while (now - began < longest && !(size() <= packet && size() + 8 > packet)) step();
    return now - began;
  }
  std::size_t size() const { return sizes.datagram(way, headers) + headers; }

  test::SeededRng rng{1};
  PathMtu sizes{rng};
  Way way = kDirect;
  std::size_t headers = kIpUdp4;
  std::size_t limit;
  std::size_t wanted;
  Duration round_trip = milliseconds(20);
  unsigned loss = 0;
  bool large = true;
  bool dead = false;
  int sent = 0;
  Instant now{seconds(1000)};
  std::deque<std::pair<Instant, std::uint64_t>> answers;
};

TEST(PathMtu, AUsualSizeIsKnownAfterOneRoundTrip) {
  for (const std::size_t limit : {1280, 1400, 1420, 1480, 1492, 1500}) {
    Lab lab(limit);
    EXPECT_LE(lab.until(limit, seconds(5)), milliseconds(25)) << limit;
    lab.run(seconds(3));
    EXPECT_EQ(lab.size(), limit);
  }
}

TEST(PathMtu, AnySizeIsFoundInAFewRounds) {
  for (std::size_t limit = 576; limit < 9100; limit += 13) {
    if (limit > 1500 && limit < 1600) continue;  // Ethernet's own size will do
    Lab lab(limit, 9051);
    EXPECT_LE(lab.until(std::min<std::size_t>(limit, 9051 + 28), seconds(5)), milliseconds(1200)) << limit;
    EXPECT_LE(lab.sent, 45) << limit;
  }
}

TEST(PathMtu, ASearchEndsEvenIfItFindsNothingLarger) {
  Lab lab(1280, 1452);
  lab.headers = kIpUdp6;
  lab.sizes.use(lab.way, lab.headers, lab.wanted, lab.now);
  EXPECT_FALSE(lab.sizes.settled(lab.way));
  lab.step();
  EXPECT_FALSE(lab.sizes.settled(lab.way));
  lab.run(seconds(3));
  EXPECT_TRUE(lab.sizes.settled(lab.way));
  EXPECT_EQ(lab.size(), 1280U);
}

TEST(PathMtu, NothingIsProbedBeforeLargeTraffic) {
  Lab lab(1500);
  lab.large = false;
  lab.run(seconds(100));
  EXPECT_EQ(lab.sent, 0);
  EXPECT_EQ(lab.sizes.path_mtu(lab.way), std::nullopt);
  EXPECT_EQ(lab.sizes.next_deadline(), kNever);
  EXPECT_LE(lab.size(), 576U);
}

TEST(PathMtu, TheSearchEndsAtTheWantedSize) {
  Lab lab(9000);
  lab.run(seconds(1));
  EXPECT_EQ(lab.size(), kWanted + kIpUdp4);
}

TEST(PathMtu, AWayThatShrinksIsNoticedInLessThanASecond) {
  for (const std::size_t limit : {576, 1280, 1350, 1499}) {
    for (Duration phase{}; phase < kCheckEvery; phase += milliseconds(90)) {
      Lab lab(1500);
      lab.run(seconds(2) + phase);
      lab.limit = limit;
      const Instant began = lab.now;
      while (lab.size() > limit && lab.now - began < seconds(5)) lab.step();
      EXPECT_LE(lab.now - began, milliseconds(800)) << limit;
      EXPECT_LE(lab.until(limit, seconds(5)), seconds(1)) << limit;
    }
  }
}

TEST(PathMtu, AWayThatGrowsIsUsedWithinAMinute) {
  Lab lab(1400);
  lab.run(seconds(2));
  lab.limit = 1500;
  EXPECT_LE(lab.until(1500, seconds(100)), kRaiseEvery + seconds(1));
}

// If nothing is answered, size is not the problem.
TEST(PathMtu, ADeadWayKeepsItsSize) {
  Lab lab(1500);
  lab.run(seconds(2));
  lab.dead = true;
  lab.run(seconds(10));
  EXPECT_EQ(lab.size(), 1500U);
}

TEST(PathMtu, AWayAtRestKeepsItsSize) {
  Lab lab(1500);
  lab.run(seconds(2));
  lab.limit = 576;
  lab.large = false;
  for (int i = 0; i < 5000; ++i) {
    lab.sizes.rest();
    lab.step();
  }
  EXPECT_EQ(lab.size(), 1500U);
  EXPECT_EQ(lab.sizes.next_deadline(), kNever);
  lab.large = true;
  EXPECT_LE(lab.until(576, seconds(5)), seconds(1));
}

TEST(PathMtu, AChecksCostIsSmall) {
  Lab lab(1500);
  lab.run(seconds(2));
  lab.sent = 0;
  lab.run(seconds(30));
  EXPECT_LE(lab.sent, 30 * 5 / 2 + 1);
}

TEST(PathMtu, FindsTheSizeThroughLoss) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Lab lab(1400);
    for (unsigned i = 0; i < seed; ++i) lab.rng.u64();
    lab.loss = 10;
    lab.run(seconds(60));
    EXPECT_LE(lab.size(), 1400U);
    EXPECT_GE(lab.size(), 1280U);
  }
}

TEST(PathMtu, TheSizeOfAnEarlierWayIsRemembered) {
  Lab lab(1500);
  lab.run(seconds(2));
  lab.way = Way::through(kServerRelay);
  lab.sizes.use(lab.way, kIpUdp4, kWanted, lab.now);
  EXPECT_LE(lab.size(), 576U);
  lab.run(seconds(2));
  lab.way = kDirect;
  lab.sizes.use(lab.way, kIpUdp4, kWanted, lab.now);
  EXPECT_EQ(lab.size(), 1500U);
  lab.sizes.moved();
  EXPECT_LE(lab.size(), 576U);
}

TEST(PathMtu, RemembersAFewWaysOnly) {
  Lab lab(1500);
  for (std::uint32_t i = 0; i < 100; ++i) {
    lab.way = Way::straight({IpAddress::from_v4({0x0a000001 + i}), 1});
    lab.sizes.use(lab.way, kIpUdp4, kWanted, lab.now);
    lab.run(milliseconds(100));
    EXPECT_EQ(lab.size(), 1500U);
  }
  EXPECT_LE(lab.sizes.datagram(Way::straight({IpAddress::from_v4({0x0a000001}), 1}), kIpUdp4), 576U);
}

}  // namespace
}  // namespace eps::mesh
