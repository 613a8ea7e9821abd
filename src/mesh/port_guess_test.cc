// SPDX-License-Identifier: MIT
#include "mesh/port_guess.h"

#include <gtest/gtest.h>

#include <set>

#include "support/seeded_rng.h"

namespace eps::mesh {
namespace {

using enum NatMapping;
using Role = PortGuess::Role;

TEST(PortGuess, OnlyAHardNatAgainstAnotherIsGuessed) {
  EXPECT_EQ(PortGuess::role_of(per_destination, independent, false), Role::many);
  EXPECT_EQ(PortGuess::role_of(independent, per_destination, false), Role::guess);
  EXPECT_EQ(PortGuess::role_of(none, per_destination, false), Role::guess);
  EXPECT_EQ(PortGuess::role_of(per_destination, per_destination, true), Role::none);
  EXPECT_EQ(PortGuess::role_of(independent, independent, false), Role::none);
  EXPECT_EQ(PortGuess::role_of(independent, independent, true), Role::both);
  EXPECT_EQ(PortGuess::role_of(none, independent, true), Role::none) << "a public address is met without a guess";
  EXPECT_EQ(PortGuess::role_of(none, none, true), Role::none) << "there is a firewall, and no port to guess";
  EXPECT_EQ(PortGuess::role_of(per_destination, unknown, true), Role::none);
  EXPECT_EQ(PortGuess::role_of(unknown, per_destination, true), Role::none);
}

TEST(PortGuess, GuessesNearPortsFirstThenEachPortOnceWithinItsBounds) {
  test::SeededRng rng(3);
  Instant now{std::chrono::seconds(50)};
  PortGuess guess(Role::guess, 65530, rng, now);
  std::vector<std::uint16_t> all;
  std::size_t steps = 0;
  for (const Instant ends = now + 2 * PortGuess::kFor; now < ends; now += PortGuess::kStep) {
    const auto ports = guess.take_ports(now);
    EXPECT_LE(ports.size(), PortGuess::kPerStep);
    EXPECT_TRUE(guess.take_ports(now).empty()) << "not twice at one time";
    all.insert(all.end(), ports.begin(), ports.end());
    steps += ports.empty() ? 0 : 1;
  }
  EXPECT_EQ(all.size(), PortGuess::kMaxGuesses);
  EXPECT_EQ(all[0], 65531);
  EXPECT_EQ(all[5], 1024) << "past the end it goes on with the first port";
  const std::set<std::uint16_t> random(all.begin() + PortGuess::kNear, all.end());
  EXPECT_EQ(random.size(), PortGuess::kMaxGuesses - PortGuess::kNear);
  EXPECT_GE(*random.begin(), 1024);
  EXPECT_GE(steps * PortGuess::kStep, std::chrono::seconds(1)) << "spread";
  EXPECT_LT(steps * PortGuess::kStep, PortGuess::kFor);
  EXPECT_TRUE(guess.over(now));
}

// The claim of the header: with as many open ports as sockets, few need more than one burst.
TEST(PortGuess, HitsAPortOfManySoon) {
  std::size_t missed = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    test::SeededRng rng(seed);
    std::set<std::uint16_t> open;
    while (open.size() < PortGuess::kSockets) open.insert(static_cast<std::uint16_t>(1024 + rng.below(64512)));
    Instant now{std::chrono::seconds(1)};
    PortGuess guess(Role::guess, 5000, rng, now);
    bool hit = false;
    for (int i = 0; i < 200 && !hit; ++i, now += PortGuess::kStep) {
      for (const std::uint16_t port : guess.take_ports(now)) hit |= open.contains(port);
    }
    missed += hit ? 0 : 1;
  }
  EXPECT_LE(missed, 6U) << "expected: 0.5 % of 300";
}

TEST(PortGuess, ManySendTwice) {
  test::SeededRng rng(3);
  Instant now{std::chrono::seconds(50)};
  PortGuess many(Role::many, 0, rng, now);
  int sends = 0;
  for (; !many.over(now); now += PortGuess::kStep) sends += many.take_send(now) ? 1 : 0;
  EXPECT_EQ(sends, 2);
}

TEST(PortGuess, NoBurstMakesMoreThanAThousandEntries) {
  for (const Role role : {Role::many, Role::guess, Role::both}) EXPECT_LE(PortGuess::entries_of(role), 1000U);
}

TEST(GuessBudget, LimitsRouterEntriesAndGuessesPerAddress) {
  GuessBudget budget;
  Instant now{std::chrono::seconds(50)};
  const auto at = [](std::uint32_t i) { return IpAddress::from_v4({0xc0000200U + i}); };
  for (int burst = 0; burst < 2; ++burst) {
    ASSERT_TRUE(budget.allows(Role::guess, at(1), now));
    budget.charge(at(1), 380, 0, now);
    for (int step = 0; step < 110; ++step) budget.charge(at(1), 5, 5, now);
    now += std::chrono::seconds(8);
  }
  EXPECT_EQ(budget.entries(now), 1860U);
  EXPECT_FALSE(budget.allows(Role::guess, at(2), now)) << "the router has to forget the first";
  EXPECT_FALSE(budget.allows(Role::many, at(2), now));
  now += GuessBudget::kEntryLives;
  budget.charge(at(1), 900, 900, now);
  now += GuessBudget::kEntryLives;
  EXPECT_FALSE(budget.allows(Role::guess, at(1), now)) << "no more guesses at that address";
  EXPECT_TRUE(budget.allows(Role::many, at(1), now)) << "which guesses nothing";
  for (std::uint32_t i = 2; i < 5; ++i) {
    ASSERT_TRUE(budget.allows(Role::guess, at(i), now));
    budget.charge(at(i), 1000, 1000, now);
    now += GuessBudget::kEntryLives;
  }
  EXPECT_EQ(budget.entries(now), 5760U);
  EXPECT_FALSE(budget.allows(Role::guess, at(9), now));
  EXPECT_FALSE(budget.allows(Role::many, at(9), now));
  now += GuessBudget::kWindow;
  EXPECT_TRUE(budget.allows(Role::guess, at(1), now));
}

}  // namespace
}  // namespace eps::mesh
