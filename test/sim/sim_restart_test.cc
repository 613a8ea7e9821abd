// SPDX-License-Identifier: MIT

// Clients and servers that die, disappear or sleep, and come back: at once, with their addresses and stored state,
// without a storm. Many seeds (sim/seeds.h); a failure names its seed.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "sim/conversation.h"
#include "sim/sim_fixture.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Two clients communicate, and have stored their state, which happens 5 s after a change.
void join_until_kept(World& world) {
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(3)));
  world.run_for(seconds(6));
}

TEST_P(Sim, ADeadServerDoesNotStopDirectTrafficAndReturnsWithTheSameAddresses) {
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

// NATs forget within 30 s, sessions end after two minutes: a public member with sessions to both introduces them to
// each other.
TEST_P(Sim, AnIdlePairBehindNatsFindsEachOtherLongAfterTheServerDied) {
  for (const int clients : {2, 3}) {
    World world(options(clients));
    const NatBehaviour home{.ports = PortAllocation::random};
    for (int c = 0; c < 2; ++c) world.place(c, world.network().add_realm(kInternet, home));
    join(world, clients);
    ASSERT_TRUE(world.everybody_talks(seconds(10)));
    ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(10)));
    world.run_for(seconds(6));
    world.stop_server();
    world.run_for(seconds(280));
    const std::uint64_t before = world.network().datagrams_sent_by(world.host(0));
    world.run_for(seconds(120));
    EXPECT_LT(world.network().datagrams_sent_by(world.host(0)) - before, 2 * 60U) << "idle costs little";
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.talked(); }, seconds(2))) << clients;
  }
}

// The peer remembers greater numbers than the restored client counts from, and says so.
TEST_P(Sim, AClientRestoredFromASnapshotReachesAnIdlePeerAtOnce) {
  World world(options(2));
  join(world, 2);
  const std::uint64_t snapshot = world.handshake_number(0);
  for (int life = 0; life < 2; ++life) {
    world.stop_client(0);
    world.start_client(0);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    const std::uint64_t frame = world.send_frame(0, 1);
    ASSERT_TRUE(world.run_until([&] { return world.delivered(frame, 1); }, seconds(10)));
  }
  world.stop_client(0);
  world.run_for(seconds(200));  // the peer's session ends
  world.set_handshake_number(0, snapshot);
  world.start_client(0);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  world.run_for(seconds(2));
  const std::uint64_t frame = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(frame, 1); }, seconds(2)));
  // And again in the next run, which counts from below as well.
  world.stop_client(0);
  world.start_client(0);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  const std::uint64_t again = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(again, 1); }, seconds(3)));
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

// It is up at once, from its stored state, and talks directly before the server admits it again and relays for it.
TEST_P(Sim, AnAnswerToAClientThatIsBackBeforeTheServerKnowsIsNotLost) {
  World world(options(2));
  ASSERT_NO_FATAL_FAILURE(join_until_kept(world));
  for (const int c : {0, 1}) world.stop_client(c);
  world.start_client(0);
  world.run_for(seconds(1));
  world.start_client(1);
  const std::uint64_t question = world.send_frame(1, 0);
  ASSERT_TRUE(world.run_until([&] { return world.delivered(question, 0); }, milliseconds(500)));
  const std::uint64_t answer = world.send_frame(0, 1);
  EXPECT_TRUE(world.run_until([&] { return world.delivered(answer, 1); }, milliseconds(500)));
}

TEST_P(Sim, WithoutTheServerARestartedClientContinuesFromItsStoredState) {
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

// When the client returns, the server has nothing new about the members, except for who is online.
TEST_P(Sim, StateOfARestartedClientServesTheNextRestart) {
  World world(options(2));
  ASSERT_NO_FATAL_FAILURE(join_until_kept(world));
  for (int life = 0; life < 3; ++life) {
    world.stop_client(0);
    world.start_client(0);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(5)));
    world.run_for(seconds(6));
  }
  world.stop_server();
  world.stop_client(0);
  world.start_client(0);
  EXPECT_TRUE(world.everybody_talks(seconds(3)));
}

TEST_P(Sim, ServersThatTheUserNamesAreDialledAtOnce) {
  World world(options(3));
  join(world, 3);
  world.stop_server();
  world.run_for(minutes(2));
  world.start_server();
  for (int c = 0; c < 3; ++c) world.name_servers(c);
  EXPECT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(1)));
  const std::uint64_t before = world.server().status(world.clock().now()).connections_established;
  for (int c = 0; c < 3; ++c) world.name_servers(c);
  world.run_for(minutes(1));
  EXPECT_EQ(world.server().status(world.clock().now()).connections_established, before) << "connections stay";
}

TEST_P(Sim, MemberRemovedDuringTheOutageIsOutOnceTheListArrives) {
  World world(options(2));
  ASSERT_NO_FATAL_FAILURE(join_until_kept(world));
  world.stop_client(0);
  world.partition(0, kServer, true);
  world.partition(1, kServer, true);
  world.start_client(0);
  ASSERT_TRUE(world.remove("c1"));
  EXPECT_TRUE(world.everybody_talks(seconds(3))) << "neither can know yet";
  world.partition(0, kServer, false);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).members().find_name("c1") == nullptr; }, seconds(20)));
  const std::uint64_t no_more = world.send_frame(1, 0);
  world.run_for(seconds(10));
  EXPECT_FALSE(world.delivered(no_more, 0));
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

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
