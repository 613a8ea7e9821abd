// SPDX-License-Identifier: MIT

// The relative positions of two clients: in one LAN, behind several NATs, with IPv6 behind firewalls. Many seeds
// (sim/seeds.h); a failure names its own.

#include <gtest/gtest.h>

#include "sim/conversation.h"
#include "sim/seeds.h"
#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kIndependent = Dependence::endpoint_independent;
constexpr auto kAddress = Dependence::address_dependent;
constexpr auto kPort = Dependence::address_and_port_dependent;

// What most homes have, what lets everybody in, and what cannot be traversed.
const NatBehaviour kEasy{.mapping = kIndependent, .filtering = kPort, .ports = PortAllocation::random};
const NatBehaviour kCone{.mapping = kIndependent, .filtering = kIndependent, .ports = PortAllocation::random};
const NatBehaviour kHard{.mapping = kPort, .filtering = kPort, .ports = PortAllocation::random};
const NatBehaviour kLinux{.mapping = kPort, .filtering = kPort, .ports = PortAllocation::preserving};

NatBehaviour with(NatBehaviour nat, Hairpinning hairpinning) {
  nat.hairpinning = hairpinning;
  return nat;
}

class Places : public testing::TestWithParam<std::uint64_t> {
 protected:
  Places() : world(options()), network(world.network()) { network.weather = {milliseconds(20), milliseconds(5), 0, 0}; }
  WorldOptions options() {
    WorldOptions o;
    o.seed = GetParam();
    o.clients = 2;
    return o;
  }
  void join() {
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
  }
  // Where `from` sends what is for `to`.
  std::optional<Endpoint> endpoint(int from, int to) {
    for (const PeerStatus& peer : world.client(from).status(world.clock().now()).peers) {
      if (peer.member.name == "c" + std::to_string(to)) return peer.endpoint;
    }
    return std::nullopt;
  }
  bool reach_by_own_addresses() {
    return endpoint(0, 1) && endpoint(0, 1)->ip == world.address(1) && endpoint(1, 0) &&
           endpoint(1, 0)->ip == world.address(0);
  }
  void expect_direct() {
    join();
    Conversation talk(world, 0, 1);
    EXPECT_TRUE(talk.run_until([&] { return talk.talked(); }, milliseconds(500)));
    EXPECT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(3)));
    talk.forget_gap();
    talk.run(seconds(10));
    EXPECT_LT(in_seconds(talk.longest_gap()), 0.2);
    EXPECT_TRUE(talk.direct());
  }
  void expect_relayed() {
    join();
    Conversation talk(world, 0, 1);
    EXPECT_TRUE(talk.run_until([&] { return talk.talked(); }, milliseconds(500)));
    talk.run(seconds(10));
    EXPECT_EQ(world.path(0, 1), PathKind::relayed);
    EXPECT_EQ(world.path(1, 0), PathKind::relayed);
    talk.forget_gap();
    talk.run(seconds(10));
    EXPECT_LT(in_seconds(talk.longest_gap()), 0.3);
  }
  World world;
  Network& network;
};

TEST_P(Places, NeighboursTakeTheLan) {
  const NatBehaviour nats[] = {kEasy, kCone, kHard, kLinux};
  const Hairpinning turns[] = {Hairpinning::none, Hairpinning::all};
  const NatBehaviour nat = with(nats[GetParam() % 4], turns[GetParam() / 4 % 2]);
  const RealmId home = network.add_realm(kInternet, nat);
  for (int c = 0; c < 2; ++c) world.place(c, home);
  expect_direct();
  EXPECT_TRUE(reach_by_own_addresses());
}

// Both homes have the same addresses, and so have the clients.
TEST_P(Places, HomesWithTheSameAddresses) {
  for (int c = 0; c < 2; ++c) world.place(c, network.add_realm(kInternet, c == 0 ? kEasy : kLinux));
  ASSERT_EQ(world.address(0), world.address(1));
  expect_direct();
}

TEST_P(Places, BehindTwoNatsEach) {
  for (int c = 0; c < 2; ++c) {
    const RealmId carrier = network.add_realm(kInternet, c == 0 ? kEasy : kCone);
    world.place(c, network.add_realm(carrier, c == 0 ? kLinux : kEasy));
  }
  expect_direct();
}

TEST_P(Places, OneHardNatOfTwoIsHard) {
  for (int c = 0; c < 2; ++c) {
    const RealmId carrier = network.add_realm(kInternet, c == 0 ? kHard : kEasy);
    world.place(c, network.add_realm(carrier, c == 0 ? kEasy : kHard));
  }
  expect_relayed();
}

// Two customers of one carrier know each other only by its address.
TEST_P(Places, OneCarrierThatHairpins) {
  const NatBehaviour carriers[] = {kEasy, kCone};
  const RealmId carrier = network.add_realm(kInternet, with(carriers[GetParam() % 2], Hairpinning::all));
  for (int c = 0; c < 2; ++c) world.place(c, network.add_realm(carrier, kEasy));
  expect_direct();
}

TEST_P(Places, OneCarrierThatDoesNotHairpin) {
  const RealmId carrier = network.add_realm(kInternet, kEasy);
  for (int c = 0; c < 2; ++c) world.place(c, network.add_realm(carrier, kEasy));
  expect_relayed();
}

// A neighbour of the carrier's customers, without a home router of its own, is reachable: its address is the LAN's.
TEST_P(Places, ACustomerAndItsCarriersNeighbour) {
  const RealmId carrier = network.add_realm(kInternet, kHard);
  world.place(0, network.add_realm(carrier, kEasy));
  world.place(1, carrier);
  expect_direct();
}

TEST_P(Places, AForwardedPortLetsEverybodyIn) {
  const RealmId home = network.add_realm(kInternet, kEasy);
  world.place(0, home);
  network.nat(home).forward(7000, {world.address(0), 7000});
  world.place(1, network.add_realm(kInternet, kHard));
  expect_direct();
}

// IPv4 cannot be direct here; IPv6 needs only that both firewalls are opened at once.
TEST_P(Places, HardNatsWithIPv6BehindFirewalls) {
  const NatBehaviour walls[] = {{.filtering = kPort}, {.filtering = kAddress}, {.filtering = kIndependent}};
  for (int c = 0; c < 2; ++c) {
    world.place(c, network.add_realm(kInternet, kHard, walls[GetParam() / (c == 0 ? 1 : 3) % 3]),
                World::Families::both);
  }
  expect_direct();
  EXPECT_FALSE(endpoint(0, 1)->ip.is_v4());
  EXPECT_FALSE(endpoint(1, 0)->ip.is_v4());
}

TEST_P(Places, IPv6Only) {
  for (int c = 0; c < 2; ++c) {
    world.place(c, network.add_realm(kInternet, std::nullopt, NatBehaviour{.filtering = kPort}), World::Families::v6);
  }
  expect_direct();
}

TEST_P(Places, NoFamilyInCommon) {
  world.place(0, network.add_realm(kInternet, kEasy), World::Families::v4);
  world.place(1, network.add_realm(kInternet, std::nullopt, NatBehaviour{.filtering = kPort}), World::Families::v6);
  expect_relayed();
}

// The connection to the server carries everything, for one of them or for both; only the server's port is open to it.
TEST_P(Places, WithoutUdp) {
  world.place(0, network.add_realm(kInternet, kEasy));
  for (int c = 0; c <= static_cast<int>(GetParam() % 2); ++c) {
    network.block_udp(world.host(c), true);
    network.allow_tcp_ports(world.host(c), std::set<std::uint16_t>{kDefaultPort});
  }
  for (int c = 0; c < 2; ++c) world.start_client(c);
  Conversation talk(world, 0, 1);
  EXPECT_TRUE(talk.run_until([&] { return talk.talked(); }, seconds(5)));
  talk.run(seconds(5));
  talk.forget_gap();
  talk.run(seconds(60));
  EXPECT_LT(in_seconds(talk.longest_gap()), 0.3);
  EXPECT_EQ(world.path(0, 1), PathKind::relayed);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Places, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
