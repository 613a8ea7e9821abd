// Whole networks in virtual time. Every test runs with many seeds (EPS_SIM_SEEDS, default 20); a failure names its
// seed, and EPS_SIM_SEED=N runs that one alone.

#include <gtest/gtest.h>

#include "sim/seeds.h"
#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Sim : public testing::TestWithParam<std::uint64_t> {
 protected:
  WorldOptions options(int clients) {
    WorldOptions o;
    o.seed = GetParam();
    o.clients = clients;
    return o;
  }
  // All clients up and admitted.
  static void join(World& world, int clients) {
    for (int c = 0; c < clients; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  }
};

TEST_P(Sim, TwoClientsJoinAndTalkDirectly) {
  World world(options(2));
  join(world, 2);
  const std::uint64_t first = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(first, 1); }, milliseconds(200)))
      << "the first frame waits for one handshake only";
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

// Others hear of a member before the server knows its data socket: the relay takes it into its control connection.
TEST_P(Sim, WhatIsSentToAMemberThatHasJustJoinedIsNotLost) {
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
  // Nor is it when UDP takes over.
  world.block_udp(kServer, 1, false);
  while (!world.all_admitted()) {
    const std::uint64_t frames[] = {world.send_frame(0, 1), world.send_frame(1, 0)};
    world.run_for(milliseconds(50));
    EXPECT_TRUE(world.delivered(frames[0], 1) && world.delivered(frames[1], 0));
  }
}

// Who joins a moment after others is told of them before they are told of it, and begins handshakes at once.
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

TEST_P(Sim, WhatCannotGoDirectlyIsRelayed) {
  World world(options(3));
  world.block_udp(0, 1, true);
  join(world, 3);
  const std::uint64_t first = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(first, 1); }, milliseconds(300)));
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(20));
  for (const PeerStatus& peer : world.client(0).status(world.clock().now()).peers) {
    EXPECT_EQ(peer.path, peer.member.name == "c1" ? PathKind::relayed : PathKind::direct) << peer.member.name;
  }
}

TEST_P(Sim, ALostDirectPathFallsBackToTheRelayInTwoSecondsAndReturns) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(3)));
  world.block_udp(0, 1, true);
  const Instant cut = world.clock().now();
  std::vector<std::uint64_t> sent;
  bool through = false;
  while (!through && world.clock().now() - cut < seconds(10)) {
    sent.push_back(world.send_frame(0, 1));
    world.run_for(milliseconds(50));
    through = std::any_of(sent.begin(), sent.end(), [&](std::uint64_t f) { return world.delivered(f, 1); });
  }
  EXPECT_TRUE(through);
  EXPECT_LT(world.clock().now() - cut, seconds(2));
  world.block_udp(0, 1, false);
  EXPECT_TRUE(world.run_until(
      [&] {
        world.send_frame(0, 1);
        world.send_frame(1, 0);
        world.run_for(milliseconds(200));
        return world.all_direct();
      },
      minutes(2)));
}

// One end notices first; what it then sends through the relay must not make the other believe in its direct path.
TEST_P(Sim, BothEndsLeaveALostDirectPath) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(3)));
  world.block_udp(0, 1, true);
  const Instant cut = world.clock().now();
  bool answered = false;
  while (!answered && world.clock().now() - cut < seconds(10)) {
    const std::uint64_t question = world.send_frame(0, 1);
    world.run_for(milliseconds(50));
    if (!world.delivered(question, 1)) continue;
    const std::uint64_t answer = world.send_frame(1, 0);
    world.run_for(milliseconds(50));
    answered = world.delivered(answer, 0);
  }
  EXPECT_TRUE(answered);
  EXPECT_LT(world.clock().now() - cut, seconds(2));
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

TEST_P(Sim, AServerThatDiesDoesNotStopDirectTrafficAndComesBackWithTheSameAddresses) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(5)));
  std::map<std::string, Ip4> before;
  for (const auto& [id, m] : world.registry().members()) before[m.name] = m.address;
  world.stop_server();
  // Longer than a session lives: they rekey among themselves.
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t frame = world.send_frame(0, 1);
    world.run_for(seconds(1));
    ASSERT_TRUE(world.delivered(frame, 1)) << "after " << i << " s without the server";
  }
  world.start_server();
  EXPECT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(30)));
  for (const auto& [id, m] : world.registry().members()) EXPECT_EQ(m.address, before[m.name]) << m.name;
  EXPECT_TRUE(world.everybody_talks(seconds(5)));
}

TEST_P(Sim, AClientThatDiesComesBackWithItsAddressInOneRoundTrip) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  const Ip4 address = world.registry().find_name("c1")->address;
  world.stop_client(1);
  const std::uint64_t others = world.send_frame(0, 2);
  world.run_for(milliseconds(100));
  EXPECT_TRUE(world.delivered(others, 2));
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(5)));
  EXPECT_EQ(world.registry().find_name("c1")->address, address);
  // Client 0 still seals in the session that died with client 1; the first such datagram makes client 1 shake hands.
  EXPECT_TRUE(world.everybody_talks(milliseconds(1300)));
}

// It is up at once, from what it kept, and talks directly before the server has taken it in again and relays for it.
TEST_P(Sim, AnAnswerToAClientThatIsBackBeforeTheServerKnowsIsNotLost) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(6));
  for (const int c : {0, 1}) world.stop_client(c);
  world.start_client(0);
  world.run_for(seconds(1));
  world.start_client(1);
  const std::uint64_t question = world.send_frame(1, 0);
  ASSERT_TRUE(world.run_until([&] { return world.delivered(question, 0); }, milliseconds(500)));
  const std::uint64_t answer = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(answer, 1); }, milliseconds(500)));
}

// Two clients send to each other by turns; each frame must arrive.
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
  // Each admission throws the other out: with pauses that grow to ten seconds these are few.
  EXPECT_LT(world.server().status(world.clock().now()).connections_established, 60U);
}

TEST_P(Sim, WhatWasSniffedAndChangedOrReplayedIsDropped) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(1));
  const std::uint64_t delivered = world.frames_delivered();
  const auto sniffed = world.sniffed();
  for (const World::Sniffed& s : sniffed) {
    world.inject(s.from, s.to, s.bytes);  // as it was
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
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "and none of it did harm";
}

TEST_P(Sim, AnEvictedMemberIsOutAtOnceAndForGood) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.remove("c1"));
  world.run_for(milliseconds(100));
  EXPECT_FALSE(world.running(1)) << "it was told and ended";
  EXPECT_EQ(world.client(0).members().find_name("c1"), nullptr);
  world.start_client(1);
  world.run_for(seconds(5));
  EXPECT_FALSE(world.running(1));
  EXPECT_NE(world.fatal(1).find("removed"), std::string::npos) << world.fatal(1);
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
}

TEST_P(Sim, WithoutTheServerARestartedClientGoesOnFromWhatItKept) {
  World world(options(4));
  join(world, 4);
  world.run_for(seconds(6));
  world.stop_server();
  for (const int c : {0, 1}) {
    world.stop_client(c);
    world.start_client(c);
  }
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(minutes(10));
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "after every session has ended";
  world.start_server();
  EXPECT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
}

TEST_P(Sim, WhoeverWasRemovedMeanwhileIsOutWhenTheListComes) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(6));
  world.stop_client(0);
  world.partition(0, kServer, true);
  world.partition(1, kServer, true);
  world.start_client(0);
  ASSERT_TRUE(world.remove("c1"));
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "as long as neither can know";
  world.partition(0, kServer, false);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).members().find_name("c1") == nullptr; }, seconds(20)));
  const std::uint64_t no_more = world.send_frame(1, 0);
  world.run_for(seconds(10));
  EXPECT_FALSE(world.delivered(no_more, 0));
}

TEST(LargeSim, AHundredClientsComeBackWithoutAStorm) {
  constexpr int kClients = 100;
  World world(WorldOptions{.clients = kClients});
  for (int c = 0; c < kClients; ++c) world.start_client(c);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(2)));
  world.stop_server();
  world.run_for(seconds(30));
  world.start_server();
  const Instant back = world.clock().now();
  std::uint64_t before = 0;
  std::uint64_t most = 0;
  for (int step = 0; step < 200 && !world.all_admitted(); ++step) {
    world.run_for(milliseconds(100));
    const std::uint64_t all = world.server().status(world.clock().now()).connections_established;
    most = std::max(most, all - before);
    before = all;
  }
  EXPECT_TRUE(world.all_admitted());
  EXPECT_LT(world.clock().now() - back, seconds(16));
  EXPECT_LT(most, 12U) << "admitted within 100 ms";
  EXPECT_EQ(before, 100U) << "each once";
}

TEST_P(Sim, AClientThatSleptIsBackAtOnce) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.sleep(0, minutes(3));
  world.run_for(minutes(3));
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(1)));
  EXPECT_TRUE(world.everybody_talks(seconds(1)));
}

TEST_P(Sim, WhoeverCannotSendUdpToTheServerIsRelayedOverTcp) {
  World world(options(4));
  for (const int peer : {0, 2, 3}) world.block_udp(1, peer, true);
  world.block_udp(1, kServer, true);
  world.block_udp(2, kServer, true);
  world.block_udp(2, 3, true);
  join(world, 4);
  EXPECT_TRUE(world.everybody_talks(seconds(5)));
  const auto status = [&](int c) { return world.client(c).status(world.clock().now()); };
  EXPECT_TRUE(status(1).relay_over_tcp && status(2).relay_over_tcp);
  EXPECT_FALSE(status(0).relay_over_tcp || status(3).relay_over_tcp);
  for (const PeerStatus& peer : status(1).peers) {
    EXPECT_TRUE(peer.path == PathKind::relayed && peer.over_tcp) << peer.member.name;
  }
  for (const PeerStatus& peer : status(2).peers) {
    EXPECT_EQ(peer.path == PathKind::direct, peer.member.name == "c0") << peer.member.name;
  }
  world.block_udp(1, kServer, false);
  EXPECT_TRUE(world.run_until([&] { return !status(1).relay_over_tcp; }, seconds(5)));
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "by UDP again";
  world.block_udp(1, kServer, true);
  EXPECT_TRUE(world.run_until([&] { return status(1).relay_over_tcp; }, seconds(40)));
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
  world.stop_server();
  world.run_for(seconds(5));
  EXPECT_FALSE(status(1).relay_over_tcp);
  world.start_server();
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  EXPECT_TRUE(world.everybody_talks(seconds(5)));
}

TEST_P(Sim, SilentWhenIdle) {
  World world(options(4));
  join(world, 4);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.run_for(minutes(4));
  const std::uint64_t before = world.network().datagrams_sent;
  world.run_for(minutes(10));
  // The bind keepalive and its answer every 20 s for each client, and nothing else.
  EXPECT_LE(world.network().datagrams_sent - before, 4U * 2 * 31);
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "and awake at once";
}

// Faults of every kind at random, then calm: everybody talks to everybody again.
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

// Two that cannot reach each other, and one that both reach and that relays: with the server gone they talk through it,
// past the life of a session, and rekey.
TEST_P(Sim, AMemberRelaysWhenTheServerIsGone) {
  WorldOptions o = options(3);
  o.relays = {2};
  World world(o);
  world.block_udp(0, 1, true);
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  for (int i = 0; i < 100; ++i) {
    world.send_frame(0, 1);
    world.send_frame(1, 0);
    world.run_for(milliseconds(100));
  }
  world.stop_server();
  const auto talk = [&](int rounds) {
    int lost = 0;
    for (int i = 0; i < rounds; ++i) {
      const std::uint64_t there = world.send_frame(0, 1);
      const std::uint64_t back = world.send_frame(1, 0);
      world.run_for(milliseconds(200));
      lost += world.delivered(there, 1) && world.delivered(back, 0) ? 0 : 1;
    }
    return lost;
  };
  talk(300);  // until both ends have given the server's relay up
  EXPECT_EQ(talk(1000), 0) << "200 s without the server";
  EXPECT_EQ(world.path(0, 1), PathKind::relayed);
  const auto why = world.client(0).why("c1", world.clock().now());
  ASSERT_TRUE(why && why->peer.relay);
  EXPECT_EQ(*why->peer.relay, world.client(0).members().find_name("c2")->id);
}

// The offers to relay went with the sessions in which they were made: new sessions bring new ones.
TEST_P(Sim, AMemberRelaysForThoseThatStartWithoutTheServer) {
  WorldOptions o = options(3);
  o.relays = {2};
  World world(o);
  world.block_udp(0, 1, true);
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.run_for(seconds(6));
  world.stop_server();
  for (const int c : {2, 0, 1}) {
    world.stop_client(c);
    world.start_client(c);
  }
  const auto talks = [&] {
    const std::uint64_t there = world.send_frame(0, 1);
    const std::uint64_t back = world.send_frame(1, 0);
    world.run_for(milliseconds(100));
    return world.delivered(there, 1) && world.delivered(back, 0);
  };
  const Instant until = world.clock().now() + seconds(20);
  while (!talks() && world.clock().now() < until) {
  }
  EXPECT_LT(world.clock().now(), until);
  for (int i = 0; i < 600; ++i) EXPECT_TRUE(talks()) << i;
}

// Without --relay nobody forwards for others.
TEST_P(Sim, WhoWasNotAskedToRelayDoesNot) {
  World world(options(3));
  world.block_udp(0, 1, true);
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.stop_server();
  world.run_for(minutes(1));
  const std::uint64_t frame = world.send_frame(0, 1);
  world.run_for(seconds(20));
  EXPECT_FALSE(world.delivered(frame, 1));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()),
                         [](const auto& test) { return "seed" + std::to_string(test.param); });

}  // namespace
}  // namespace eps::sim
