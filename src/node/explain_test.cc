// SPDX-License-Identifier: MIT
#include "node/explain.h"

#include <gtest/gtest.h>

#include <chrono>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::seconds;
using testing::Test;

class Explain : public Test {
 protected:
  // A session whose path leads through the server, and a search for a better one that started `ago`.
  void relayed(Duration ago, std::vector<Candidate> candidates) {
    begin_session();
    peer.path.set_relays({kServerRelay}, now);
    peer.path.set_candidates(candidates, {}, now, true);
    peer.path.begin(now);
    (void)peer.path.take_due(now, true);
    now += ago;
    route.session = peer.sessions.current();
    route.to = server;
    route.relayed = true;
  }
  void begin_session() { sessions.install(peer.sessions, test::session_of(true, now), now); }
  std::string why() const { return status_of(peer, route, here, now).why_relayed; }
  bool says(const std::string& part) const { return why().find(part) != std::string::npos; }
  bool advises(const std::string& part) const {
    return status_of(peer, route, here, now).how_to_mend.find(part) != std::string::npos;
  }

  Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  PeersParams params;
  Counters counters;
  std::vector<std::string> notes;
  Sessions sessions{params, counters, notes, rng};
  Peer peer{test::member_of(2), rng};
  const Endpoint server{IpAddress::from_v4({0xc6120001U}), kDefaultPort};
  dataplane::Peer route;
  Standpoint here{NatMapping::independent, false, true};
};

TEST_F(Explain, ASilentMemberIsAsAPeerThatNothingHappenedTo) {
  for (const bool online : {true, false}) {
    for (const bool server_relays : {true, false}) {
      peer.member.online = online;
      here.server_relays = server_relays;
      const PeerStatus silent = status_of(peer.member, here), untouched = status_of(peer, route, here, now);
      EXPECT_EQ(silent.member, untouched.member);
      EXPECT_EQ(silent.why_relayed, untouched.why_relayed);
      EXPECT_EQ(silent.path, untouched.path);
      EXPECT_EQ(silent.unreachable, untouched.unreachable);
      EXPECT_EQ(silent.nat, untouched.nat);
    }
  }
}

TEST_F(Explain, WithoutASessionItSaysWhetherOneWasTried) {
  EXPECT_TRUE(says("Nothing was sent to it lately")) << why();
  sessions.give_up(peer.sessions);
  EXPECT_TRUE(says("was not answered in 12 attempts")) << why();
  EXPECT_TRUE(status_of(peer, route, here, now).unreachable);
}

TEST_F(Explain, APeerIsCalledOfflineOnlyIfTheServerCanBeAsked) {
  peer.member.online = false;
  EXPECT_TRUE(says("not connected to the server")) << why();
  here.server_relays = false;
  EXPECT_FALSE(says("not connected to the server")) << why();
}

TEST_F(Explain, ASessionWithoutAPathIsUnreachable) {
  begin_session();
  EXPECT_TRUE(says("no relay can be used and no endpoint answers")) << why();
  EXPECT_TRUE(status_of(peer, route, here, now).unreachable);
}

TEST_F(Explain, ADirectPathNeedsNoReason) {
  peer.path.adopt(Way::straight(peer.member.candidates[0].endpoint), std::nullopt, now);
  begin_session();
  route.session = peer.sessions.current();
  route.to = peer.member.candidates[0].endpoint;
  EXPECT_EQ(status_of(peer, route, here, now).path, PathKind::direct);
  EXPECT_EQ(why(), "");
}

TEST_F(Explain, WithoutAnEndpointItPointsToTheOtherSide) {
  relayed(seconds(10), {});
  EXPECT_EQ(status_of(peer, route, here, now).path, PathKind::relayed);
  EXPECT_TRUE(says("no endpoint that can be tried")) << why();
  EXPECT_TRUE(advises("eps status"));
}

TEST_F(Explain, ThereIsNoVerdictBeforeTheFirstProbesCanBeAnswered) {
  relayed(seconds(1), peer.member.candidates);
  EXPECT_TRUE(says("just begun, with 1 endpoint to try")) << why();
}

TEST_F(Explain, RoundsThatBeginAgainDoNotTakeBackTheVerdict) {
  relayed(seconds(10), peer.member.candidates);
  peer.path.begin(now);
  now += seconds(1);
  EXPECT_TRUE(says("a firewall or NAT on the way drops UDP")) << why();
}

TEST_F(Explain, ItNamesTheNatInTheWay) {
  relayed(seconds(10), peer.member.candidates);
  EXPECT_TRUE(says("a firewall or NAT on the way drops UDP")) << why();
  here.nat = NatMapping::per_destination;
  EXPECT_TRUE(says("The NAT in front of us makes a new mapping for each destination")) << why();
}

TEST_F(Explain, ThePeersReportOfItsNatCounts) {
  Surroundings surroundings;
  RelayDirectory relays{false, rng};
  Paths paths{surroundings, relays, counters};
  paths.on_call(peer, {.nat = NatMapping::per_destination, .candidates = {}}, {}, now);
  relayed(seconds(10), peer.member.candidates);
  here.nat = NatMapping::per_destination;
  EXPECT_TRUE(says("The NATs on both sides")) << why();
  EXPECT_TRUE(advises("of one of the two computers"));
  here.forwarded = true;
  EXPECT_TRUE(advises("ours forwards already"));
  here.nat = NatMapping::independent;
  EXPECT_TRUE(says("The NAT in front of it makes a new mapping for each destination")) << why();
}

TEST_F(Explain, DatagramsThatArriveUnansweredPointToAFirewallThere) {
  relayed(seconds(10), peer.member.candidates);
  peer.path.heard_from(Way::straight(peer.member.candidates[0].endpoint), now - seconds(1));
  EXPECT_TRUE(says("ours are not answered there")) << why();
  EXPECT_TRUE(advises("in the firewall in front of c2"));
}

}  // namespace
}  // namespace eps::node
