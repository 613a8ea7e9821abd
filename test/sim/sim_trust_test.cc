// SPDX-License-Identifier: MIT

// A server whose state was altered, or that was taken over: a client does not talk to an impostor under the name, the
// address or the number of a known peer.

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/sim_fixture.h"

namespace eps::sim {
namespace {

using std::chrono::seconds;

// While the server is down its state is changed: `change` is applied to each member.
void alter(World& world, const std::function<void(Member&)>& change) {
  world.stop_server();
  ports::StoreChange altered;
  const auto state = world.store().load();
  for (Member m : state->members) {
    change(m);
    altered.put_members.push_back(std::move(m));
  }
  ASSERT_TRUE(world.store().commit(altered));
}

// The computer with that number is another one from now on, and the server's state gives it the old one's name.
void replace(World& world, int c) {
  world.stop_client(c);
  crypto::KeyPair intruder = crypto::generate_key_pair(world.rng());
  alter(world, [&](Member& m) {
    if (m.name == "c" + std::to_string(c)) m.key = intruder.public_key;
  });
  world.set_secret(c, std::move(intruder.secret));
}

bool passes(World& world, int from, int to, Duration limit = seconds(5)) {
  std::vector<std::uint64_t> sent;
  return world.run_until(
      [&] {
        if (sent.size() < 20) sent.push_back(world.send_frame(from, to));
        return std::ranges::any_of(sent, [&](std::uint64_t frame) { return world.delivered(frame, to); });
      },
      limit);
}

const Member* member(World& world, int at, int c) {
  return world.client(at).members().find_name("c" + std::to_string(c));
}
bool refuses(World& world, int at, int c) {
  const Member* m = member(world, at, c);
  return m != nullptr && world.client(at).refuses(m->id);
}

TEST_P(Sim, AKnownPeerWithAnotherKeyIsRefusedUntilItIsTrusted) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  const crypto::Key real = world.secret(1);
  replace(world, 1);
  world.start_server();
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && world.all_admitted(); }, seconds(30)));
  EXPECT_FALSE(passes(world, 0, 1));
  EXPECT_FALSE(passes(world, 1, 0));
  const auto status = world.client(0).status(world.clock().now());
  ASSERT_EQ(status.peers.size(), 1U);
  EXPECT_TRUE(status.peers[0].refused);
  EXPECT_EQ(status.peers[0].path, PathKind::none);
  EXPECT_TRUE(world.client(0).why("c1", world.clock().now())->peer.refused);

  ASSERT_TRUE(world.trust(0, "c1"));
  EXPECT_TRUE(passes(world, 0, 1));
  EXPECT_TRUE(passes(world, 1, 0));
  // The known key has been replaced.
  replace(world, 1);
  world.set_secret(1, real.clone());
  alter(world, [&](Member& m) {
    if (m.name == "c1") m.key = crypto::key_pair_from_secret(real.clone()).public_key;
  });
  world.start_server();
  world.start_client(1);
  EXPECT_TRUE(world.run_until([&] { return refuses(world, 0, 1); }, seconds(30)));
}

TEST_P(Sim, AKeyThatReturnsIsAcceptedAgain) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  const crypto::Key real = world.secret(1);
  replace(world, 1);
  world.start_server();
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1); }, seconds(30)));
  replace(world, 1);
  world.set_secret(1, real.clone());
  alter(world, [&](Member& m) {
    if (m.name == "c1") m.key = crypto::key_pair_from_secret(real.clone()).public_key;
  });
  world.start_server();
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return !refuses(world, 0, 1) && world.all_admitted(); }, seconds(30)));
  EXPECT_TRUE(passes(world, 0, 1, seconds(10)));
  EXPECT_TRUE(passes(world, 1, 0, seconds(10)));
}

TEST_P(Sim, AClientThatWasAwayStillKnowsItsPeers) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.run_for(seconds(6));  // its stored state may be this old
  world.stop_client(0);
  replace(world, 1);
  world.start_server();
  world.start_client(1);
  world.run_for(seconds(5));
  world.start_client(0);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && world.all_admitted(); }, seconds(30)));
  EXPECT_FALSE(passes(world, 0, 1));
  EXPECT_FALSE(passes(world, 1, 0));
}

TEST_P(Sim, ARefusedMemberDoesNotRelay) {
  World world(options(3, {1}));
  world.block_udp(0, 2, true);
  join(world, 3);
  const auto without_the_server = [&] {
    world.stop_server();
    world.run_for(seconds(10));
    return passes(world, 0, 2, seconds(20));
  };
  ASSERT_TRUE(passes(world, 0, 1) && passes(world, 1, 2) && passes(world, 0, 2));
  ASSERT_TRUE(without_the_server()) << "it relays";
  replace(world, 1);
  world.start_server();
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && refuses(world, 2, 1) && world.all_admitted(); },
                              seconds(30)));
  EXPECT_FALSE(without_the_server());
}

TEST_P(Sim, MembersThatSwappedNamesAreRefused) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  // An honest server would learn their names from them.
  world.stop_client(1);
  world.stop_client(2);
  alter(world, [&](Member& m) {
    if (m.name != "c0") m.name = m.name == "c1" ? "c2" : "c1";
  });
  world.start_server();
  EXPECT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && refuses(world, 0, 2); }, seconds(30)));
}

// The list shows that the member was removed, and that another one came: the re-enrolled computer is reached.
TEST_P(Sim, AReenrolledMemberIsAPeerAndReported) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  ASSERT_TRUE(world.remove("c1"));
  ASSERT_TRUE(world.run_until([&] { return !world.running(1); }, seconds(10)));
  world.set_secret(1, std::move(crypto::generate_key_pair(world.rng()).secret));
  world.forget_enrolment(1);
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(30)));
  EXPECT_TRUE(passes(world, 0, 1));
  EXPECT_TRUE(passes(world, 1, 0));
  const auto findings = world.client(0).status(world.clock().now()).findings;
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_NE(findings[0].what.find("was enrolled anew"), std::string::npos) << findings[0].what;
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
