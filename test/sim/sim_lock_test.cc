// SPDX-License-Identifier: MIT

// The network lock, and a server that was taken over: whoever has its keys and its database adds nobody, exchanges no
// key, widens nobody's rights, leads nothing elsewhere and does not end the lock.

#include <gtest/gtest.h>

#include <algorithm>

#include "registry/grants.h"
#include "registry/network_lock.h"
#include "sim/sim_fixture.h"

namespace eps::sim {
namespace {

using std::chrono::seconds;

struct Signer {
  explicit Signer(Rng& rng) {
    rng.fill(seed.writable());
    rng.fill(secret);
  }
  LockMark mark(World& world, const Member& m, std::uint64_t sequence) const {
    return registry::sign_record(seed, id, world.registry().network(), m, sequence);
  }
  // The network is locked, and all of its members are signed.
  void lock(World& world) {
    LockChange change;
    registry::LockChain chain = world.registry().lock();
    change.entries = {registry::begin_lock(chain, world.registry().network().id, seed, {&secret, 1})};
    ASSERT_TRUE(chain.append(world.registry().network().id, change.entries[0]));
    change.lock = id = chain.id();
    for (const auto& [member, m] : world.registry().members()) change.marks.emplace_back(member, mark(world, m, 1));
    ASSERT_TRUE(world.change_lock(change));
  }
  void sign(World& world, int c, std::uint64_t sequence) const {
    const Member* m = world.registry().find_name("c" + std::to_string(c));
    ASSERT_TRUE(m);
    ASSERT_TRUE(world.change_lock({.entries = {}, .lock = id, .marks = {{m->id, mark(world, *m, sequence)}}}));
  }

  crypto::Key seed;
  registry::LockSecret secret{};
  crypto::Hash id{};
};

// While the server is down its state is changed by somebody who may.
void alter(World& world, const std::function<void(std::vector<Member>&, ports::StoreChange&)>& change) {
  world.stop_server();
  ports::StoreChange altered;
  auto state = world.store().load();
  change(state->members, altered);
  altered.put_members = state->members;
  ASSERT_TRUE(world.store().commit(altered));
  world.start_server();
}

Member* named(std::vector<Member>& members, const std::string& name) {
  return &*std::ranges::find(members, name, &Member::name);
}

bool passes(World& world, int from, int to) {
  std::vector<std::uint64_t> sent;
  return world.run_until(
      [&] {
        if (sent.size() < 20) sent.push_back(world.send_frame(from, to));
        return std::ranges::any_of(sent, [&](std::uint64_t frame) { return world.delivered(frame, to); });
      },
      seconds(5));
}

bool refuses(World& world, int at, int c) {
  const auto& lock = world.client(at).lock();
  const Member* m = world.client(at).members().find_name("c" + std::to_string(c));
  return m != nullptr && world.client(at).refuses(m->id) && lock.refused().contains(m->id);
}

bool waits(World& world, int c) {
  const auto lock = world.client(c).status(world.clock().now()).lock;
  return lock && lock->waits;
}

TEST_P(Sim, AJoiningMemberWaitsUntilItIsSigned) {
  World world(options(3));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(10)));
  Signer signer(world.rng());
  signer.lock(world);
  const auto locked = [&](int c) { return world.client(c).lock().on(); };
  ASSERT_TRUE(world.run_until([&] { return locked(0) && locked(1); }, seconds(10)));
  EXPECT_TRUE(world.all_direct()) << "nobody was refused in between";
  EXPECT_TRUE(world.everybody_talks(seconds(5)));

  world.start_client(2);
  ASSERT_TRUE(
      world.run_until([&] { return waits(world, 2) && refuses(world, 0, 2) && refuses(world, 1, 2); }, seconds(20)));
  EXPECT_FALSE(passes(world, 0, 2));
  EXPECT_FALSE(passes(world, 2, 1));
  signer.sign(world, 2, 2);
  ASSERT_TRUE(world.run_until([&] { return !waits(world, 2) && !refuses(world, 0, 2); }, seconds(10)));
  EXPECT_TRUE(world.everybody_talks(seconds(10)));

  // A removal needs no signature, and the lock's end one of its secrets.
  ASSERT_TRUE(world.remove("c1"));
  EXPECT_TRUE(world.run_until([&] { return world.client(0).members().find_name("c1") == nullptr; }, seconds(10)));
  ASSERT_TRUE(world.change_lock(
      {.entries = {registry::end_lock(world.registry().lock(), world.registry().network().id, signer.secret)},
       .lock = {},
       .marks = {}}));
  EXPECT_TRUE(world.run_until([&] { return !locked(0) && !locked(2); }, seconds(10)));
  EXPECT_TRUE(world.everybody_talks(seconds(5)));
}

TEST_P(Sim, AClientThatWasAwayHearsOfTheLock) {
  World world(options(2));
  join(world, 2);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  world.run_for(seconds(6));  // what it keeps may be so old
  world.stop_client(1);
  Signer signer(world.rng());
  signer.lock(world);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).lock().on(); }, seconds(10)));
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return world.client(1).lock().on() && world.all_admitted(); }, seconds(30)));
  EXPECT_FALSE(refuses(world, 1, 0) || waits(world, 1));
  EXPECT_TRUE(world.everybody_talks(seconds(10)));
  // And from its disk, with the server gone.
  world.run_for(seconds(6));
  world.stop_server();
  world.stop_client(1);
  world.start_client(1);
  EXPECT_TRUE(world.everybody_talks(seconds(30)));
  EXPECT_TRUE(world.client(1).lock().on());
}

TEST_P(Sim, ATakenOverServerAddsNobodyAndExchangesNoKey) {
  World world(options(3));
  join(world, 2);
  Signer signer(world.rng());
  signer.lock(world);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).lock().on(); }, seconds(10)));
  // In the place of c1, with its signature; also for one that knows no peer from before.
  world.stop_client(1);
  crypto::KeyPair intruder = crypto::generate_key_pair(world.rng());
  world.set_secret(1, std::move(intruder.secret));
  alter(world, [&](auto& members, auto&) { named(members, "c1")->key = intruder.public_key; });
  world.start_client(1);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && world.all_admitted(); }, seconds(30)));
  EXPECT_FALSE(passes(world, 0, 1));
  EXPECT_FALSE(passes(world, 1, 0));
  // And besides it.
  world.start_client(2);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 2); }, seconds(30)));
  EXPECT_FALSE(passes(world, 0, 2));
  EXPECT_FALSE(passes(world, 2, 0));
}

TEST_P(Sim, ATakenOverServerRedirectsAndWidensNobody) {
  World world(options(3));
  join(world, 3);
  ASSERT_TRUE(world.everybody_talks(seconds(5)));
  Signer signer(world.rng());
  signer.lock(world);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).lock().on(); }, seconds(10)));
  const MemberId first = world.registry().find_name("c1")->id;
  alter(world, [&](auto& members, ports::StoreChange& change) {
    Grants grants;
    grants.bridge = true;
    change.put_meta["grants." + std::to_string(first.value)] = registry::encode_grants(grants);
    (void)members;
  });
  ASSERT_TRUE(
      world.run_until([&] { return world.client(0).lock().own_addresses_only().contains(first); }, seconds(30)));
  for (const PeerStatus& peer : world.client(0).status(world.clock().now()).peers) {
    EXPECT_FALSE(peer.member.grants.any());
    EXPECT_FALSE(peer.refused) << "it is still a member";
  }
  EXPECT_FALSE(world.client(1).may_bridge());
  EXPECT_TRUE(passes(world, 0, 1));

  alter(world, [&](auto& members, auto&) { std::swap(named(members, "c1")->address, named(members, "c2")->address); });
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && refuses(world, 0, 2); }, seconds(30)));
  alter(world, [&](auto& members, auto&) { std::swap(named(members, "c1")->address, named(members, "c2")->address); });
  ASSERT_TRUE(world.run_until([&] { return !refuses(world, 0, 1) && !refuses(world, 0, 2); }, seconds(30)));
  alter(world, [&](auto& members, auto&) { std::swap(named(members, "c1")->name, named(members, "c2")->name); });
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && refuses(world, 0, 2); }, seconds(30)));
}

TEST_P(Sim, ATakenOverServerEndsNoLock) {
  World world(options(3));
  join(world, 2);
  Signer signer(world.rng());
  signer.lock(world);
  ASSERT_TRUE(world.run_until([&] { return world.client(0).lock().on() && world.client(1).lock().on(); }, seconds(10)));
  // It forgets the lock: neither chain nor signatures.
  const auto forget = [](auto& members, ports::StoreChange& change) {
    change.put_meta["lock.chain"] = {};
    for (const Member& m : members) change.put_meta["lock." + std::to_string(m.id.value)] = {};
  };
  alter(world, forget);
  world.start_client(2);
  ASSERT_TRUE(world.run_until([&] { return refuses(world, 0, 1) && refuses(world, 0, 2); }, seconds(30)));
  world.stop_client(0);
  world.start_client(0);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted() && refuses(world, 0, 2); }, seconds(30)));
  EXPECT_TRUE(world.client(0).lock().on());
  EXPECT_FALSE(passes(world, 0, 2));
  // It begins another, and signs everybody itself.
  Signer mallory(world.rng());
  mallory.lock(world);
  ASSERT_TRUE(world.run_until([&] { return waits(world, 0) && world.client(2).lock().on(); }, seconds(30)));
  EXPECT_TRUE(refuses(world, 0, 2));
  EXPECT_FALSE(passes(world, 2, 0));
  EXPECT_NE(world.client(0).lock().chain().id(), mallory.id);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, testing::ValuesIn(seeds()), testing::PrintToStringParamName());

}  // namespace
}  // namespace eps::sim
