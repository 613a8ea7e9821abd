// SPDX-License-Identifier: MIT

// The simulated NAT and the routes of datagrams through several of them, without any client.

#include "sim/nat.h"

#include <gtest/gtest.h>

#include "sim/network.h"
#include "support/seeded_rng.h"

namespace eps::sim {
namespace {

using std::chrono::seconds;

constexpr auto kIndependent = Dependence::endpoint_independent;
constexpr auto kAddress = Dependence::address_dependent;
constexpr auto kPort = Dependence::address_and_port_dependent;

const IpAddress kExternal = *parse_ip("198.18.0.1");
const Endpoint kInside = *parse_endpoint("192.168.1.2:7000");
const Endpoint kOther = *parse_endpoint("192.168.1.3:7000");
const Endpoint kX1 = *parse_endpoint("203.0.113.1:1000");
const Endpoint kX2 = *parse_endpoint("203.0.113.1:2000");
const Endpoint kY1 = *parse_endpoint("203.0.113.9:1000");

class NatTest : public testing::Test {
 protected:
  Nat make(const NatBehaviour& behaviour) { return Nat(behaviour, kExternal, rng); }
  test::SeededRng rng{3};
  Instant now{seconds(1000)};
};

// RFC 4787, section 4.1: which destinations share a mapping.
TEST_F(NatTest, MapsAccordingToItsBehaviour) {
  for (const Dependence mapping : {kIndependent, kAddress, kPort}) {
    for (const PortAllocation ports : {PortAllocation::sequential, PortAllocation::random}) {
      Nat nat = make({.mapping = mapping, .filtering = kIndependent, .ports = ports});
      const auto first = nat.outbound(kInside, kX1, now);
      ASSERT_TRUE(first);
      EXPECT_EQ(first->ip, kExternal);
      EXPECT_EQ(nat.outbound(kInside, kX1, now), first);
      EXPECT_EQ(nat.outbound(kInside, kX2, now) == first, mapping != kPort);
      EXPECT_EQ(nat.outbound(kInside, kY1, now) == first, mapping == kIndependent);
      EXPECT_NE(nat.outbound(kOther, kX1, now), first);
    }
  }
}

// RFC 4787, section 5: who may answer.
TEST_F(NatTest, FiltersAccordingToItsBehaviour) {
  for (const Dependence mapping : {kIndependent, kAddress, kPort}) {
    for (const Dependence filtering : {kIndependent, kAddress, kPort}) {
      Nat nat = make({.mapping = mapping, .filtering = filtering});
      EXPECT_FALSE(nat.inbound(kX1, {kExternal, kInside.port}, now)) << "nothing was sent yet";
      const Endpoint external = *nat.outbound(kInside, kX1, now);
      EXPECT_EQ(nat.inbound(kX1, external, now), kInside);
      EXPECT_EQ(nat.inbound(kX2, external, now).has_value(), filtering != kPort);
      EXPECT_EQ(nat.inbound(kY1, external, now).has_value(), filtering == kIndependent);
      const Endpoint unused{kExternal, static_cast<std::uint16_t>(external.port + 1)};
      EXPECT_FALSE(nat.inbound(kX1, unused, now));
    }
  }
}

TEST_F(NatTest, DroppedPacketCreatesNoMapping) {
  Nat nat = make({.ports = PortAllocation::preserving});
  EXPECT_FALSE(nat.inbound(kX1, {kExternal, 7000}, now));
  EXPECT_EQ(nat.outbound(kInside, kX1, now), (Endpoint{kExternal, 7000})) << "the port is still free";
}

TEST_F(NatTest, PreservesAFreePort) {
  Nat nat = make({.ports = PortAllocation::preserving});
  EXPECT_EQ(nat.outbound(kInside, kX1, now)->port, 7000);
  const Endpoint second = *nat.outbound(kOther, kX1, now);
  EXPECT_NE(second.port, 7000);
  EXPECT_EQ(nat.inbound(kX1, {kExternal, 7000}, now), kInside);
  EXPECT_EQ(nat.inbound(kX1, second, now), kOther);
}

// As in Linux: if mappings and filters both distinguish the remote port, one external port serves several hosts.
TEST_F(NatTest, OverloadsAPortIfTheRemoteDistinguishesTheHosts) {
  Nat nat = make({.mapping = kPort, .filtering = kPort, .ports = PortAllocation::preserving});
  EXPECT_EQ(nat.outbound(kInside, kX1, now)->port, 7000);
  EXPECT_EQ(nat.outbound(kOther, kX2, now)->port, 7000);
  const Endpoint taken = *nat.outbound(kOther, kX1, now);
  EXPECT_NE(taken.port, 7000) << "towards this remote it is taken";
  EXPECT_EQ(nat.outbound(kOther, kY1, now), taken) << "the newest is kept for others";
  EXPECT_EQ(nat.inbound(kX1, {kExternal, 7000}, now), kInside);
  EXPECT_EQ(nat.inbound(kX2, {kExternal, 7000}, now), kOther);
}

TEST_F(NatTest, AssignsPortsInOrder) {
  Nat nat = make({.mapping = kPort, .ports = PortAllocation::sequential});
  const std::uint16_t first = nat.outbound(kInside, kX1, now)->port;
  EXPECT_EQ(nat.outbound(kInside, kX2, now)->port, first + 1);
  EXPECT_EQ(nat.outbound(kOther, kX1, now)->port, first + 2);
}

TEST_F(NatTest, ForgetsAMappingThatIsNotUsedFromInside) {
  Nat nat = make({.ports = PortAllocation::random, .timeout = seconds(30)});
  const Endpoint external = *nat.outbound(kInside, kX1, now);
  now += seconds(29);
  EXPECT_TRUE(nat.inbound(kX1, external, now)) << "which does not refresh it";
  EXPECT_EQ(nat.outbound(kInside, kX1, now), external) << "which does";
  now += seconds(29);
  EXPECT_TRUE(nat.inbound(kX1, external, now));
  now += seconds(1);
  EXPECT_FALSE(nat.inbound(kX1, external, now));
  EXPECT_NE(nat.outbound(kInside, kX1, now), external);
}

TEST_F(NatTest, RefreshesFromOutsideIfConfigured) {
  Nat nat = make({.inbound_refreshes = true, .timeout = seconds(30)});
  const Endpoint external = *nat.outbound(kInside, kX1, now);
  for (int i = 0; i < 10; ++i) {
    now += seconds(29);
    EXPECT_TRUE(nat.inbound(kX1, external, now));
    EXPECT_FALSE(nat.inbound(kX2, external, now)) << "a dropped datagram refreshes nothing";
  }
}

// The mapping lives as long as anybody is sent to; the permitted remotes expire one by one.
TEST_F(NatTest, ForgetsPermittedRemotes) {
  Nat nat = make({.filtering = kAddress, .timeout = seconds(30)});
  const Endpoint external = *nat.outbound(kInside, kX1, now);
  now += seconds(20);
  EXPECT_EQ(nat.outbound(kInside, kY1, now), external);
  now += seconds(20);
  EXPECT_TRUE(nat.inbound(kY1, external, now));
  EXPECT_FALSE(nat.inbound(kX1, external, now));
}

TEST_F(NatTest, ForgetsEverythingWhenItRestarts) {
  Nat nat = make({.ports = PortAllocation::random});
  const Endpoint external = *nat.outbound(kInside, kX1, now);
  nat.rebind();
  EXPECT_FALSE(nat.inbound(kX1, external, now));
  EXPECT_NE(nat.outbound(kInside, kX1, now), external);
}

TEST_F(NatTest, ForwardsAPortToWhoeverAsks) {
  for (const Dependence mapping : {kIndependent, kPort}) {
    Nat nat = make({.mapping = mapping, .filtering = kPort, .ports = PortAllocation::random});
    const Endpoint external{kExternal, 5000};
    nat.forward(5000, kInside);
    EXPECT_EQ(nat.inbound(kX1, external, now), kInside);
    EXPECT_EQ(nat.inbound(kY1, external, now), kInside);
    EXPECT_EQ(nat.outbound(kInside, kX1, now), external) << "the answer";
    EXPECT_EQ(nat.outbound(kInside, kX2, now), external) << "and for what it sends unasked";
    EXPECT_NE(nat.outbound(kOther, kX1, now)->port, 5000);
    nat.rebind();
    EXPECT_EQ(nat.inbound(kY1, external, now), kInside);
  }
}

TEST_F(NatTest, RunsOutOfPortsWithoutHarm) {
  Nat nat = make({.ports = PortAllocation::sequential});
  std::optional<Endpoint> last;
  for (std::uint32_t host = 0; host < 64512; ++host) {
    last = nat.outbound({IpAddress::from_v4({0x0a000000U + host}), 7000}, kX1, now);
    ASSERT_TRUE(last) << host;
  }
  EXPECT_FALSE(nat.outbound(kInside, kX1, now));
  now += seconds(30);
  EXPECT_TRUE(nat.outbound(kInside, kX1, now));
}

TEST_F(NatTest, AFirewallFiltersAndTranslatesNothing) {
  Nat wall = make({.filtering = kPort, .translates = false});
  EXPECT_FALSE(wall.inbound(kX1, kInside, now));
  EXPECT_EQ(wall.outbound(kInside, kX1, now), kInside);
  EXPECT_EQ(wall.inbound(kX1, kInside, now), kInside);
  EXPECT_FALSE(wall.inbound(kX2, kInside, now));
  EXPECT_FALSE(wall.inbound(kX1, kOther, now));
}

// --- through a network ---------------------------------------------------------------------------------------------

class WaysTest : public testing::Test {
 protected:
  struct Computer {
    HostId host;
    std::unique_ptr<SimUdp> udp;
  };
  Computer computer(RealmId realm, bool v6 = false) {
    const HostId host = network.add_host(realm, {v6 ? network.new_ip6(realm) : network.new_ip4(realm)});
    Computer c{host, std::make_unique<SimUdp>(network, host, 7000)};
    network.attach(*c.udp);
    return c;
  }
  Endpoint own(const Computer& c) { return {network.addresses(c.host).front(), 7000}; }
  // Sends; returns the source that the receiver saw, or nothing if it received nothing.
  std::optional<Endpoint> send(Computer& from, const Endpoint& to, Computer& receiver) {
    const std::byte byte{1};
    const ports::TxDatagram out{to, {&byte, 1}, 0};
    from.udp->send({&out, 1});
    while (clock.step(clock.now() + std::chrono::milliseconds(10))) {
    }
    std::array<ports::RxDatagram, 4> in;
    const std::size_t n = receiver.udp->receive(in);
    EXPECT_LE(n, 1U);
    return n == 1 ? std::optional(in[0].from) : std::nullopt;
  }
  ClockQueue clock;
  test::SeededRng rng{5};
  Network network{clock, rng};
};

TEST_F(WaysTest, ThroughTwoNatsAndBack) {
  const RealmId carrier = network.add_realm(kInternet, NatBehaviour{});
  const RealmId home = network.add_realm(carrier, NatBehaviour{});
  auto a = computer(home);
  auto x = computer(kInternet);
  auto y = computer(kInternet);
  const auto seen = send(a, own(x), x);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->ip, network.nat(carrier).external());
  EXPECT_EQ(send(x, *seen, a), own(x));
  EXPECT_FALSE(send(y, *seen, a)) << "not asked";
  EXPECT_FALSE(send(x, own(a), a)) << "a home's address leads nowhere on the Internet";
  network.nat(home).rebind();
  EXPECT_FALSE(send(x, *seen, a)) << "the inner NAT filters as well";
}

TEST_F(WaysTest, NeighboursReachEachOtherAndHomesHaveTheSameAddresses) {
  const RealmId home = network.add_realm(kInternet, NatBehaviour{});
  const RealmId other_home = network.add_realm(kInternet, NatBehaviour{});
  auto a = computer(home);
  auto b = computer(home);
  auto c = computer(other_home);
  EXPECT_EQ(own(a), own(c));
  EXPECT_EQ(send(b, own(a), a), own(b));
  EXPECT_FALSE(send(b, own(c), c));
}

TEST_F(WaysTest, HairpinsOnlyIfTheNatDoes) {
  for (const Hairpinning hairpinning : {Hairpinning::none, Hairpinning::forwarded, Hairpinning::all}) {
    const RealmId home =
        network.add_realm(kInternet, NatBehaviour{.filtering = kIndependent, .hairpinning = hairpinning});
    auto a = computer(home);
    auto b = computer(home);
    auto x = computer(kInternet);
    const Endpoint a_seen = *send(a, own(x), x);
    const Endpoint b_seen = *send(b, own(x), x);
    const bool to_all = hairpinning == Hairpinning::all;
    EXPECT_EQ(send(a, b_seen, b), to_all ? std::optional(a_seen) : std::nullopt) << "REQ-9: the external source";
    network.nat(home).forward(5000, own(b));
    const bool at_all = hairpinning != Hairpinning::none;
    EXPECT_EQ(send(a, {network.nat(home).external(), 5000}, b), at_all ? std::optional(a_seen) : std::nullopt);
  }
}

TEST_F(WaysTest, IPv6IsReachableOnceTheFirewallIsOpen) {
  const RealmId home = network.add_realm(kInternet, NatBehaviour{}, NatBehaviour{.filtering = kPort});
  const RealmId open = network.add_realm(kInternet, NatBehaviour{});
  auto a = computer(home, true);
  auto b = computer(open, true);
  auto c = computer(home, true);
  EXPECT_FALSE(send(b, own(a), a));
  EXPECT_EQ(send(a, own(b), b), own(a)) << "no firewall, no NAT";
  EXPECT_EQ(send(b, own(a), a), own(b));
  EXPECT_EQ(send(c, own(a), a), own(c));
}

TEST_F(WaysTest, BlockedSleepingOrMovedHostReceivesNothing) {
  auto a = computer(kInternet);
  auto b = computer(kInternet);
  network.block_udp(a.host, true);
  EXPECT_FALSE(send(a, own(b), b));
  EXPECT_FALSE(send(b, own(a), a));
  network.block_udp(a.host, false);
  EXPECT_TRUE(send(b, own(a), a));
  network.sleep(a.host, clock.now() + seconds(1));
  EXPECT_FALSE(send(b, own(a), a));
  clock.step(clock.now() + seconds(2));
  EXPECT_TRUE(send(b, own(a), a));
  const Endpoint before = own(a);
  network.move_host(a.host, kInternet, {network.new_ip4(kInternet)});
  EXPECT_FALSE(send(b, before, a));
  EXPECT_EQ(send(a, own(b), b), own(a));
}

TEST_F(WaysTest, StreamsPassNatsOnlyOutwards) {
  const RealmId home = network.add_realm(kInternet, NatBehaviour{});
  const HostId a = network.add_host(home, {network.new_ip4(home)});
  const HostId b = network.add_host(kInternet, {network.new_ip4(kInternet)});
  std::optional<Endpoint> client;
  std::shared_ptr<SimStream> at_server;
  const auto accept = [&](const std::shared_ptr<SimStream>& stream, const Endpoint& from) {
    at_server = stream;
    client = from;
  };
  network.listen(a, 443, accept);
  network.listen(b, 443, accept);
  std::shared_ptr<SimStream> at_client;
  const auto connect = [&](HostId from, const Endpoint& to) {
    client.reset();
    network.connect(from, to, [&](std::shared_ptr<SimStream> stream) { at_client = std::move(stream); });
    while (clock.step(clock.now() + std::chrono::milliseconds(100))) {
    }
    EXPECT_EQ(at_client != nullptr, client.has_value());
    return at_client != nullptr;
  };
  ASSERT_TRUE(connect(a, {network.addresses(b)[0], 443}));
  EXPECT_EQ(client->ip, network.nat(home).external());
  EXPECT_FALSE(connect(b, {network.nat(home).external(), 443}));
  network.nat(home).forward(443, {network.addresses(a)[0], 443});
  EXPECT_TRUE(connect(b, {network.nat(home).external(), 443}));
  network.allow_tcp_ports(a, std::set<std::uint16_t>{80});
  EXPECT_FALSE(connect(a, {network.addresses(b)[0], 443}));
  network.allow_tcp_ports(a, std::set<std::uint16_t>{443});
  ASSERT_TRUE(connect(a, {network.addresses(b)[0], 443}));

  std::size_t got = 0;
  at_server->on_bytes = [&](ByteView bytes) { got += bytes.size(); };
  const Bytes hello(10);
  const auto send = [&] {
    at_client->send(hello);
    while (clock.step(clock.now() + seconds(10))) {
    }
    return std::exchange(got, 0);
  };
  EXPECT_EQ(send(), 10U);
  network.sleep(b, clock.now() + seconds(5));
  EXPECT_EQ(send(), 10U) << "it waited for the server to wake";
  network.nat(home).rebind();
  EXPECT_EQ(send(), 0U);
}

}  // namespace
}  // namespace eps::sim
