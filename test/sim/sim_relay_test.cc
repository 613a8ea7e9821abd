// SPDX-License-Identifier: MIT

// Pairs without a direct path: relayed by the server, over TCP where UDP is blocked, or by another member while the
// server is gone. Many seeds (sim/seeds.h); a failure names its seed.

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/conversation.h"
#include "sim/sim_fixture.h"
#include "wire/datagram.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Three clients are up, two of which cannot reach each other; the third reaches both.
void join_apart(World& world) {
  world.block_udp(0, 1, true);
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
}

// Two clients had a direct path until now.
void join_directly_and_cut(World& world) {
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(3)));
  world.block_udp(0, 1, true);
}

TEST_P(Sim, PairWithoutADirectPathIsRelayed) {
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

// A bind with a forged source, followed by traffic to the member: none of it goes to the stranger.
TEST_P(Sim, TheServerSendsNothingToAnAddressThatNeverAnswered) {
  World world(options(2));
  world.block_udp(kServer, 1, true);
  world.block_udp(0, 1, true);
  join(world, 2);
  const Endpoint stranger{world.network().new_ip4(kInternet), 53};
  world.network().add_host(kInternet, {stranger.ip});
  const Endpoint server{world.address(kServer), kDefaultPort};
  std::size_t injected = 0;
  for (int n = 0; n < 20; ++n) {
    const auto sent = world.sniffed();
    const auto last = std::find_if(sent.rbegin(), sent.rend(), [&](const auto& s) {
      return s.from.ip == world.address(1) && s.to == server && wire::parse_bind_request(s.bytes);
    });
    ASSERT_NE(last, sent.rend());
    world.inject(stranger, server, last->bytes);
    injected += last->bytes.size();
    world.send_frame(0, 1, 1000);
    world.run_for(milliseconds(500));
  }
  std::size_t got = 0;
  for (const auto& s : world.sniffed()) got += s.to == stranger ? s.bytes.size() : 0;
  EXPECT_GT(got, 0U) << "replies to the binds";
  for (const auto& m : world.server().status(world.clock().now()).members) EXPECT_NE(m.data, stranger);
  for (const auto& [id, m] : world.registry().members()) {
    EXPECT_FALSE(std::ranges::any_of(m.candidates, [&](const Candidate& c) { return c.endpoint == stranger; }));
  }
  EXPECT_LE(got, injected);
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
}

// Frames of 1,400 bytes, over paths that drop anything larger than this, directly and through the server; also when
// such a path starts dropping them.
TEST_P(Sim, LargeFramesPassWhereLargeDatagramsDoNot) {
  World world(options(3));
  world.block_udp(0, 2, true);
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  const auto passes = [&](int from, int to) {
    const std::uint64_t frame = world.send_frame(from, to, 1400);
    return world.run_until([&] { return world.delivered(frame, to); }, milliseconds(200));
  };
  for (const std::size_t limit : {1450UL, 1200UL, 548UL}) {
    world.limit_size(0, 1, limit);
    world.limit_size(kServer, 2, limit);
    const Instant began = world.clock().now();
    Instant last = began;  // when a frame was last lost
    while (world.clock().now() - began < seconds(3)) {
      const bool both = passes(0, 1) && passes(0, 2);
      if (!both) last = world.clock().now();
    }
    EXPECT_LT(last - began, seconds(2)) << limit;
  }
}

// A probe for the largest datagram is lost if it is too large, and a relay without a limit is available.
TEST_P(Sim, ProbingThePathMtuIsNoReasonToLeaveAPath) {
  for (const std::size_t limit : {1400UL, 1250UL, 548UL}) {
    World world(options(2));
    world.limit_size(0, 1, limit);
    join(world, 2);
    ASSERT_TRUE(world.everybody_talks(seconds(5)));
    ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(20)));
    int relayed = 0;
    for (int i = 0; i < 100; ++i) {
      world.send_frame(0, 1, i < 40 ? 100 : 1400);
      world.run_for(milliseconds(100));
      if (!world.all_direct()) ++relayed;
    }
    EXPECT_EQ(relayed, 0) << limit;
  }
}

// No FIN, no RST: the server hangs, and member relays are available.
TEST_P(Sim, AServerThatHangsIsReplacedByAMemberThatRelaysInTwoSeconds) {
  WorldOptions o = options(4);
  o.relays = {2, 3};
  World world(o);
  world.block_udp(0, 1, true);
  join(world, 4);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  Conversation talk(world, 0, 1);
  talk.run(seconds(15));  // relaying members are known by then
  talk.forget_gap();
  world.network().sleep(world.host(kServer), world.clock().now() + seconds(60));
  talk.run(seconds(30));
  EXPECT_LT(in_seconds(talk.longest_gap()), 2);
  const ClientStatus status = world.client(0).status(world.clock().now());
  EXPECT_TRUE(status.connected);
  EXPECT_NE(status.server_note, "") << "and it does not answer";
}

// Nobody else relays: what both send is lost, and their reports say so.
TEST_P(Sim, APathThatWasGivenUpIsNone) {
  World world(options(2));
  world.block_udp(0, 1, true);
  join(world, 2);
  Conversation talk(world, 0, 1);
  talk.run(seconds(5));
  EXPECT_EQ(world.path(0, 1), PathKind::relayed);
  world.network().sleep(world.host(kServer), world.clock().now() + seconds(10));
  talk.run(seconds(6));
  EXPECT_EQ(world.path(0, 1), PathKind::none);
  talk.run(seconds(20));
  EXPECT_EQ(world.path(0, 1), PathKind::relayed);
}

// Who only answers has nothing outstanding when the relay falls silent, and must not notice after the one who asks.
TEST_P(Sim, AServerThatHangsIsReplacedInTwoSecondsWhereOneEndOnlyAnswers) {
  WorldOptions o = options(4);
  o.relays = {2, 3};
  World world(o);
  world.block_udp(0, 1, true);
  join(world, 4);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  bool asked = false;
  Instant answered = world.clock().now();
  Duration gap{};
  world.on_delivered = [&](int from, int to, std::uint64_t) {
    if (from == 0 && to == 1) asked = true;
    if (from != 1 || to != 0) return;
    gap = std::max(gap, world.clock().now() - answered);
    answered = world.clock().now();
  };
  const auto run = [&](Duration time) {
    for (const Instant until = world.clock().now() + time; world.clock().now() < until;) {
      world.send_frame(0, 1);
      for (int i = 0; i < 5; ++i) {
        world.run_for(milliseconds(10));
        if (std::exchange(asked, false)) world.send_frame(1, 0);
      }
    }
  };
  run(seconds(15));
  gap = {};
  world.network().sleep(world.host(kServer), world.clock().now() + seconds(60));
  run(seconds(10));
  world.on_delivered = nullptr;
  EXPECT_LT(in_seconds(std::max(gap, world.clock().now() - answered)), 2);
}

TEST_P(Sim, ALostDirectPathFallsBackToTheRelayInTwoSecondsAndReturns) {
  World world(options(2));
  ASSERT_NO_FATAL_FAILURE(join_directly_and_cut(world));
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

// One end notices first; its traffic through the relay must not make the other end trust its direct path.
TEST_P(Sim, BothEndsLeaveALostDirectPath) {
  World world(options(2));
  ASSERT_NO_FATAL_FAILURE(join_directly_and_cut(world));
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

TEST_P(Sim, ClientWithoutUdpToTheServerIsRelayedOverTcp) {
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

// Without the server, two that cannot reach each other talk through the third, beyond the life of a session, and rekey.
TEST_P(Sim, AMemberRelaysWhenTheServerIsGone) {
  World world(options(3, {2}));
  ASSERT_NO_FATAL_FAILURE(join_apart(world));
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
  talk(300);  // until both ends have given up the server's relay
  EXPECT_EQ(talk(1000), 0) << "200 s without the server";
  EXPECT_EQ(world.path(0, 1), PathKind::relayed);
  const auto why = world.client(0).why("c1", world.clock().now());
  ASSERT_TRUE(why && why->peer.relay);
  EXPECT_EQ(*why->peer.relay, world.client(0).members().find_name("c2")->id);
}

// Relay offers vanished with the sessions in which they were made: new sessions bring new ones.
TEST_P(Sim, AMemberRelaysForThoseThatStartWithoutTheServer) {
  World world(options(3, {2}));
  ASSERT_NO_FATAL_FAILURE(join_apart(world));
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

// A relaying member takes envelopes from wherever those that it relays for answer it, so its workers must know of a new
// address of theirs although the path stays where it was: the step that does not tell them fails a check.
TEST_P(Sim, ARelayKnowsFurtherAddressesOfThoseItRelaysFor) {
  World world(options(2, {1}));
  world.place(1, kInternet, World::Families::both);
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(3)));
  const auto answering = [&] {
    const auto why = world.client(1).why("c0", world.clock().now());
    return why ? std::ranges::count_if(why->ways, [](const WayStatus& way) { return way.answers; }) : 0;
  };
  const auto before = answering();
  world.add_ip6(0);
  EXPECT_TRUE(world.run_until([&] { return answering() > before; }, seconds(10)));
}

// Frames between two members without UDP cross the server's changes of keys, while members come and go: all arrive.
TEST_P(Sim, ControlConnectionsGetNewKeysWhileTheyRelay) {
  WorldOptions o = options(4);
  o.control_rekey_after = seconds(2);
  World world(o);
  for (const int c : {0, 1}) {
    world.block_udp(kServer, c, true);
    for (const int other : {0, 1, 2, 3}) world.block_udp(c, other, true);
  }
  join(world, 4);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  std::vector<std::pair<std::uint64_t, int>> sent;
  for (int i = 0; i < 1000; ++i) {
    sent.emplace_back(world.send_frame(0, 1), 1);
    sent.emplace_back(world.send_frame(1, 0), 0);
    if (i % 100 == 50) world.running(3) ? world.stop_client(3) : world.start_client(3);
    world.run_for(milliseconds(20));
  }
  world.run_for(seconds(1));
  for (const auto& [number, to] : sent) EXPECT_TRUE(world.delivered(number, to)) << number;
  for (const int c : {0, 1}) {
    const ClientStatus status = world.client(c).status(world.clock().now());
    EXPECT_GE(status.rekeys, 5U);
    EXPECT_EQ(status.connections_established, 1U);
  }
  EXPECT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(5)));
}

// Without --relay nobody forwards for others.
TEST_P(Sim, AMemberWithoutTheRelayOptionDoesNotRelay) {
  World world(options(3));
  ASSERT_NO_FATAL_FAILURE(join_apart(world));
  world.stop_server();
  world.run_for(minutes(1));
  const std::uint64_t frame = world.send_frame(0, 1);
  world.run_for(seconds(20));
  EXPECT_FALSE(world.delivered(frame, 1));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
