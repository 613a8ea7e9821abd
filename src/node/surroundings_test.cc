// SPDX-License-Identifier: MIT
#include "node/surroundings.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/node_fakes.h"

namespace eps::node {
namespace {

using Kind = Candidate::Kind;

Candidate at(Kind kind, const char* ip, std::uint16_t port = 7000) {
  return {kind, {*parse_ip(ip), port}};
}

class SurroundingsTest : public testing::Test {
 protected:
  SurroundingsTest() { here.set_network({{}, *parse_ip4_network("10.9.0.0/16"), kDefaultMtu}); }
  std::vector<Candidate> usable(std::vector<Candidate> listed, std::vector<Candidate> told = {}) {
    member.candidates = std::move(listed);
    return here.usable(member, told, server);
  }

  Surroundings here;
  Member member = test::member_of(2);
  Endpoint server{*parse_ip("192.0.2.1"), kDefaultPort};
};

TEST_F(SurroundingsTest, ListedEndpointsPrecedeReportedOnesWithoutDuplicates) {
  const Candidate a = at(Kind::observed, "198.51.100.1"), b = at(Kind::seen, "198.51.100.2");
  EXPECT_EQ(usable({a}, {b, a}), (std::vector{a, b}));
}

TEST_F(SurroundingsTest, NoPathLeadsThroughTheNetworkItself) {
  const Candidate outside = at(Kind::local, "198.51.100.1");
  EXPECT_EQ(usable({at(Kind::local, "10.9.1.1"), outside}), std::vector{outside});
  EXPECT_TRUE(here.set_inside({IpPrefix{*parse_ip("10.8.0.0"), 16}}, {IpPrefix{*parse_ip("10.7.0.0"), 16}}));
  EXPECT_FALSE(here.set_inside({IpPrefix{*parse_ip("10.8.0.0"), 16}}, {IpPrefix{*parse_ip("10.7.0.0"), 16}}));
  EXPECT_EQ(usable({at(Kind::local, "10.8.1.1"), at(Kind::local, "10.7.1.1"), outside}), std::vector{outside});
  // An address in another tunnel is excluded only if it is the peer's interface.
  EXPECT_EQ(usable({at(Kind::observed, "10.7.1.1"), outside}).size(), 2U);
}

TEST_F(SurroundingsTest, ImpossibleEndpointsAreNotTried) {
  here.set_own({at(Kind::local, "192.168.1.5")}, {*parse_ip("192.168.1.5")});
  EXPECT_TRUE(
      usable({at(Kind::observed, "224.0.0.1"), at(Kind::observed, "ff02::1"), at(Kind::local, "127.0.0.1"),
              at(Kind::local, "0.0.0.0"), at(Kind::observed, "198.51.100.1", 0), at(Kind::local, "192.168.1.5")})
          .empty());
  EXPECT_EQ(usable({at(Kind::local, "192.168.1.5", 7001), at(Kind::observed, "198.51.100.1")}).size(), 2U)
      << "another port of that address is another computer's";
}

TEST_F(SurroundingsTest, APeerBesideTheServerIsTriedAtTheServersAddress) {
  const Candidate local = at(Kind::local, "192.168.1.5", 7777);
  EXPECT_EQ(usable({local}), (std::vector{local, at(Kind::seen, "192.0.2.1", 7777)}));
  EXPECT_EQ(usable({local, at(Kind::observed, "198.51.100.1")}).size(), 2U) << "the server sees it elsewhere";
  server.ip = *parse_ip("192.168.1.1");
  EXPECT_EQ(usable({local}).size(), 1U);
}

TEST_F(SurroundingsTest, PeersSeeANatThatTheServerDoesNot) {
  NatStatus nat;
  nat.mapping = NatMapping::none;
  EXPECT_TRUE(here.set_nat(nat));
  here.note_seen({*parse_ip("198.51.100.1"), 1000}, Instant{});
  EXPECT_TRUE(here.take_seen_changed());
  EXPECT_FALSE(here.take_seen_changed());
  EXPECT_TRUE(here.set_nat(nat));
  EXPECT_EQ(here.nat().mapping, NatMapping::independent);
  here.note_seen({*parse_ip("198.51.100.1"), 1001}, Instant{});
  EXPECT_TRUE(here.set_nat(nat));
  EXPECT_EQ(here.nat().mapping, NatMapping::per_destination);
  EXPECT_FALSE(here.set_nat(nat));
}

TEST_F(SurroundingsTest, APortThatDiffersFromTheServersViewMeansAHardNat) {
  here.set_own({at(Kind::observed, "198.51.100.1", 1000)}, {});
  here.note_seen({*parse_ip("198.51.100.1"), 1000}, Instant{});
  EXPECT_FALSE(here.take_seen_changed()) << "that is known";
  EXPECT_FALSE(here.set_nat({}));
  here.note_seen({*parse_ip("198.51.100.1"), 1001}, Instant{});
  EXPECT_TRUE(here.set_nat({}));
  EXPECT_EQ(here.nat().mapping, NatMapping::per_destination);
  here.moved();
  EXPECT_TRUE(here.set_nat({}));
  EXPECT_EQ(here.nat().mapping, NatMapping::unknown);
}

TEST_F(SurroundingsTest, OwnCandidatesAreEvidence) {
  EXPECT_TRUE(here.set_own({at(Kind::local, "192.168.1.5")}, {*parse_ip("192.168.1.5")}));
  EXPECT_FALSE(here.set_own({at(Kind::local, "192.168.1.5")}, {*parse_ip("192.168.1.5")}));
  EXPECT_FALSE(here.seen_from_outside());
  EXPECT_FALSE(here.forwarded(Instant{}));
  here.set_own({at(Kind::mapped, "198.51.100.1")}, {});
  EXPECT_TRUE(here.seen_from_outside());
  EXPECT_TRUE(here.forwarded(Instant{}));
}

TEST_F(SurroundingsTest, ARuleInTheRouterIsShownOnceAPeerSawTheOwnPort) {
  const Candidate rule = at(Kind::seen, "198.51.100.1"), local = at(Kind::local, "192.168.1.5");
  const std::vector<Candidate> own = {local, at(Kind::observed, "198.51.100.1", 1000), rule};
  NatStatus nat;
  nat.mapping = NatMapping::per_destination;
  here.set_own(own, {});
  here.set_nat(nat);
  const Instant now{std::chrono::minutes(5)};
  EXPECT_FALSE(here.rule(now)) << "announced, but not proved";
  here.note_seen({*parse_ip("198.51.100.1"), 1001}, now);
  EXPECT_FALSE(here.rule(now) || here.forwarded(now));
  here.note_seen(rule.endpoint, now);
  EXPECT_EQ(here.rule(now), rule.endpoint);
  EXPECT_TRUE(here.forwarded(now));
  EXPECT_FALSE(here.rule(now + std::chrono::minutes(61))) << "not shown any more";
  here.set_own({local}, {});
  EXPECT_FALSE(here.rule(now)) << "the address is another one";
  here.set_own(own, {});
  here.moved();
  here.set_nat({});
  EXPECT_FALSE(here.rule(now)) << "another NAT";
}

}  // namespace
}  // namespace eps::node
