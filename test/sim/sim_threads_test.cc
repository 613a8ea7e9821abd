// SPDX-License-Identifier: MIT

// Threads that delay each other: every call of a port may take longer than a round trip, and mailboxes are emptied late
// and in any order. In good conditions nothing may be lost because of that.

#include "sim/sim_fixture.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Threads : public Sim {
 protected:
  WorldOptions busy(int clients) {
    WorldOptions o = options(clients);
    o.threads = {.workers = 3, .late = milliseconds(3), .pauses = 30, .pause = milliseconds(40)};
    return o;
  }
};

// All frames from everybody to everybody, for a while.
void talk(World& world, int clients, Duration time) {
  for (const Instant until = world.clock().now() + time; world.clock().now() < until;) {
    for (int c = 0; c < clients; ++c) {
      if (world.running(c) && !world.client(c).members().members().empty()) world.send_frame(c, -1);
    }
    world.run_for(milliseconds(5));
  }
}

std::uint64_t dropped(const Counters& counters, Drop reason) {
  const auto all = nonzero_drops(counters);
  const auto it = all.find(name_of(reason));
  return it == all.end() ? 0 : it->second;
}

// Any answer to something that a thread has sent finds that thread's work done.
TEST_P(Threads, NoAnswerComesBeforeItIsExpected) {
  constexpr int kClients = 4;
  World world(busy(kClients));
  for (int c = 0; c < kClients; ++c) {
    world.start_client(c);
    talk(world, kClients, milliseconds(60));
  }
  talk(world, kClients, milliseconds(600));
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  for (int c = 0; c < kClients; ++c) {
    EXPECT_EQ(dropped(world.client(c).counters(), Drop::unknown_session), 0U) << "c" << c;
    EXPECT_EQ(dropped(world.client(c).counters(), Drop::unauthorised), 0U) << "c" << c;
  }
  EXPECT_EQ(dropped(world.server().counters(), Drop::unauthorised), 0U);
}

// An unanswered ping prolongs the search for a path by a round.
TEST_P(Threads, EveryPingIsAnswered) {
  constexpr int kClients = 3;
  World world(busy(kClients));
  for (int c = 0; c < kClients; ++c) world.start_client(c);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  talk(world, kClients, milliseconds(300));
  world.run_for(seconds(8));
  for (int c = 0; c < kClients; ++c) {
    for (int d = 0; d < kClients; ++d) {
      const auto why = world.client(c).why("c" + std::to_string(d), world.clock().now());
      if (!why) continue;
      for (const WayStatus& way : why->ways) {
        if (!way.way.direct()) continue;
        EXPECT_EQ(way.pongs, way.pings) << "c" << c << " to " << to_string(way.way.to);
      }
    }
  }
}

TEST_P(Threads, EverybodyTalksAndRemovedMembersAreForgotten) {
  constexpr int kClients = 4;
  World world(busy(kClients));
  join(world, kClients);
  EXPECT_TRUE(world.everybody_talks(seconds(10)));
  ASSERT_TRUE(world.remove("c3"));
  world.stop_client(3);
  world.run_for(seconds(2));
  EXPECT_TRUE(world.everybody_talks(seconds(10)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Threads, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
