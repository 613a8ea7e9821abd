// SPDX-License-Identifier: MIT

// Whole networks in virtual time: joining, rekeying, silence, forgeries, removals, and random faults of every kind.
// Every test runs with many seeds (EPS_SIM_SEEDS, default 20); a failure names its seed, and EPS_SIM_SEED=N
// runs that one alone.

#include <gtest/gtest.h>

#include "sim/sim_fixture.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_P(Sim, TwoClientsJoinAndTalkDirectly) {
  World world(options(2));
  join(world, 2);
  const std::uint64_t first = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(first, 1); }, milliseconds(200)))
      << "the first frame waits only for one handshake";
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
  EXPECT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(3)));
}

TEST_P(Sim, BroadcastReachesEveryOtherClientOnce) {
  World world(options(5));
  join(world, 5);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  const std::uint64_t frame = world.send_frame(2, -1);
  world.run_for(seconds(1));
  for (int c = 0; c < 5; ++c) EXPECT_EQ(world.delivered(frame, c), c != 2) << c;
}

// Others hear of a member before the server knows its data socket: the relay sends to its control connection.
TEST_P(Sim, FrameToAMemberThatHasJustJoinedIsNotLost) {
  World world(options(2));
  world.block_udp(0, 1, true);
  world.start_client(0);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  world.block_udp(kServer, 1, true);
  world.start_client(1);
  ASSERT_TRUE(
      world.run_until([&] { return world.client(0).status(world.clock().now()).peers.size() == 1; }, seconds(20)));
  const std::uint64_t there = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(there, 1); }, milliseconds(200)));
  const std::uint64_t back = world.send_frame(1, 0);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(back, 0); }, milliseconds(50)));
  // Nor when UDP takes over.
  world.block_udp(kServer, 1, false);
  while (!world.all_admitted()) {
    const std::uint64_t frames[] = {world.send_frame(0, 1), world.send_frame(1, 0)};
    world.run_for(milliseconds(50));
    EXPECT_TRUE(world.delivered(frames[0], 1) && world.delivered(frames[1], 0));
  }
}

// A client that joins just after others is announced to them before it hears of them, and starts handshakes at once.
TEST_P(Sim, AHandshakeThatIsAheadOfTheMemberListIsAnswered) {
  World world(options(6));
  for (int c = 0; c < 6; ++c) {
    world.start_client(c);
    world.run_for(milliseconds(3));
  }
  for (int i = 0; i < 500; ++i) {
    for (int c = 0; c < 6; ++c) world.send_frame(c, -1);
    world.run_for(milliseconds(1));
  }
  ASSERT_TRUE(world.all_admitted());
  for (int c = 0; c < 6; ++c) {
    EXPECT_FALSE(world.client(c).status(world.clock().now()).drops.contains("no_peer")) << c;
  }
}

TEST_P(Sim, LossReorderingAndDuplicationDoNotStopIt) {
  World world(options(4));
  world.network().weather = {.delay = milliseconds(40), .jitter = milliseconds(60), .loss = 0.15, .duplication = 0.05};
  join(world, 4);
  EXPECT_TRUE(world.everybody_talks(seconds(20)));
  for (int i = 0; i < 300; ++i) {
    const int from = static_cast<int>(world.rng().below(4));
    world.send_frame(from, (from + 1 + static_cast<int>(world.rng().below(3))) % 4, 60 + world.rng().below(1300));
    world.run_for(milliseconds(5));
  }
}

// Two clients send to each other in turn; each frame must arrive.
void expect_no_frame_lost(World& world, int frames, Duration pause) {
  std::vector<std::pair<std::uint64_t, int>> sent;
  for (int i = 0; i < frames; ++i) {
    const int to = i % 2;
    sent.emplace_back(world.send_frame(1 - to, to), to);
    world.run_for(pause);
  }
  world.run_for(seconds(1));
  for (const auto& [frame, to] : sent) ASSERT_TRUE(world.delivered(frame, to)) << frame;
}

TEST_P(Sim, RekeyingByTimeLosesNoFrame) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  expect_no_frame_lost(world, 6000, milliseconds(50));
}

TEST_P(Sim, RekeyingByCountLosesNoFrame) {
  WorldOptions o = options(2);
  o.rekey_after_packets = 200;
  World world(o);
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  expect_no_frame_lost(world, 5000, milliseconds(2));
}

TEST_P(Sim, TwoComputersWithOneKeyBackOff) {
  World world(options(2));
  world.copy_state(0, 1);
  for (int c = 0; c < 2; ++c) world.start_client(c);
  world.run_for(minutes(2));
  // Each admission displaces the other; with pauses that grow to ten seconds there are few.
  EXPECT_LT(world.server().status(world.clock().now()).connections_established, 60U);
}

TEST_P(Sim, AlteredOrReplayedDatagramIsDropped) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(1));
  const std::uint64_t delivered = world.frames_delivered();
  const auto sniffed = world.sniffed();
  for (const World::Sniffed& s : sniffed) {
    world.inject(s.from, s.to, s.bytes);  // unchanged
    Bytes flipped = s.bytes;
    flipped[world.rng().below(flipped.size())] ^= static_cast<std::byte>(1U << world.rng().below(8));
    world.inject(s.from, s.to, flipped);
    Bytes truncated = s.bytes;
    truncated.resize(world.rng().below(truncated.size()));
    if (!truncated.empty()) world.inject(s.from, s.to, truncated);
  }
  world.run_for(seconds(1));
  EXPECT_EQ(world.frames_delivered(), delivered);
  const auto drops = world.client(1).status(world.clock().now()).drops;
  EXPECT_GT(drops.count("replayed"), 0U);
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "and nothing was harmed";
}

TEST_P(Sim, AnEvictedMemberIsOutAtOnceAndForGood) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.remove("c1"));
  world.run_for(milliseconds(100));
  EXPECT_FALSE(world.running(1)) << "it was told, and ended";
  EXPECT_EQ(world.client(0).members().find_name("c1"), nullptr);
  world.start_client(1);
  world.run_for(seconds(5));
  EXPECT_FALSE(world.running(1));
  EXPECT_NE(world.fatal(1).find("removed"), std::string::npos) << world.fatal(1);
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
}

TEST_P(Sim, SilentWhenIdle) {
  World world(options(4));
  join(world, 4);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.run_for(minutes(4));
  const std::uint64_t before = world.network().datagrams_sent;
  world.run_for(minutes(10));
  // The bind keepalive and its reply every 20 s for each client, and nothing else.
  EXPECT_LE(world.network().datagrams_sent - before, 4U * 2 * 31);
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "and it is awake at once";
}

// Random faults of every kind, then calm: everybody talks to everybody again.
TEST_P(Sim, AnythingGoesThenItHeals) {
  constexpr int kClients = 6;
  World world(options(kClients));
  world.network().weather = {.delay = milliseconds(20), .jitter = milliseconds(30), .loss = 0.05, .duplication = 0.02};
  for (int c = 0; c < kClients; ++c) world.start_client(c);
  bool server_up = true;
  Rng& rng = world.rng();
  for (int step = 0; step < 400; ++step) {
    world.run_for(milliseconds(rng.below(400)));
    const int a = static_cast<int>(rng.below(kClients));
    const int b = (a + 1 + static_cast<int>(rng.below(kClients - 1))) % kClients;
    switch (rng.below(14)) {
      case 0:
        world.running(a) ? world.stop_client(a) : world.start_client(a);
        break;
      case 1:
        server_up ? world.stop_server() : world.start_server();
        server_up = !server_up;
        break;
      case 2:
        world.block_udp(a, b, true);
        break;
      case 3:
        world.block_udp(a, b, false);
        break;
      case 4:
        world.partition(a, kServer, true);
        break;
      case 5:
        world.partition(a, kServer, false);
        break;
      default:
        if (world.running(a)) world.send_frame(a, rng.below(5) == 0 ? -1 : b, rng.below(1400));
    }
  }
  if (!server_up) world.start_server();
  for (int c = 0; c < kClients; ++c) {
    world.partition(c, kServer, false);
    if (!world.running(c)) world.start_client(c);
  }
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(2)));
  EXPECT_TRUE(world.everybody_talks(seconds(30)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
