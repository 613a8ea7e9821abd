// SPDX-License-Identifier: MIT
#include "node/paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "node/explain.h"
#include "node/peer.h"
#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using mesh::CallMessage;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PathsTest : public testing::Test {
 protected:
  Endpoint at(const Peer& of) const { return of.member.candidates[0].endpoint; }
  static dataplane::Arrival from(const Endpoint& endpoint) { return {endpoint, 0, {}, {}}; }
  dataplane::Arrival relayed() const { return {{*parse_ip("192.0.2.1"), 1}, 0, peer.member.id, kServerRelay}; }
  void begin_session(Peer& with, Features features = kOwnFeatures) {
    auto made = test::session_params(true, now);
    made.features = features;
    sessions.install(with.sessions, std::make_shared<session::Session>(std::move(made)), now);
    paths.on_session(with);
  }
  void reach(Peer& which) {
    begin_session(which);
    which.path.adopt(Way::straight(at(which)), std::nullopt, now);
  }
  dataplane::Peer route(const Peer& to, std::size_t network_mtu = 1500) const {
    dataplane::Peer out;
    out.session = to.sessions.current();
    if (to.path.direct()) out.to = to.path.path()->to;
    Paths::set_sizes(to, out, network_mtu);
    return out;
  }

  dataplane::Peer relayed_route() const {
    dataplane::Peer out = route(peer);
    out.relayed = true;
    out.to = {*parse_ip("192.0.2.1"), 1};
    return out;
  }

  Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  Counters counters;
  PeersParams params;
  std::vector<std::string> notes;
  Sessions sessions{params, counters, notes, rng};
  Surroundings here;
  RelayDirectory relays{false, rng};
  Paths paths{here, relays, counters};
  Peer peer{test::member_of(2), rng};
  Peer other{test::member_of(3), rng};
  const Candidate told{Candidate::Kind::local, {*parse_ip("203.0.113.9"), 7000}};
};

TEST_F(PathsTest, APeersOwnReportIsUsedUntilTheListIsNewer) {
  paths.learn(peer, {told}, false, now);
  EXPECT_EQ(paths.usable(peer).size(), 2U);
  EXPECT_EQ(peer.path.ways(now).size(), 2U);
  paths.learn(peer, {}, false, now);
  EXPECT_EQ(paths.usable(peer).size(), 2U) << "an empty report withdraws nothing";
  paths.on_listed(peer, now);
  EXPECT_EQ(paths.usable(peer).size(), 1U);
}

TEST_F(PathsTest, PortsAreGuessedOnlyAtObservedAddresses) {
  peer.member.candidates = {told};
  paths.learn(peer, {{Candidate::Kind::observed, {*parse_ip("203.0.113.8"), 7000}}}, false, now);
  EXPECT_FALSE(paths.seen_endpoint_of(peer));
  peer.path.heard_from(Way::straight({*parse_ip("203.0.113.7"), 7000}), now);
  EXPECT_EQ(paths.seen_endpoint_of(peer)->ip, *parse_ip("203.0.113.7"));
  EXPECT_EQ(paths.seen_endpoint_of(other), at(other));
}

TEST_F(PathsTest, ACallIsNotRepeatedAtOnceUnlessWeMoved) {
  EXPECT_TRUE(paths.call(peer, false, now).empty()) << "there is no session";
  reach(peer);
  EXPECT_EQ(paths.call(peer, false, now).size(), 1U);
  EXPECT_TRUE(paths.call(peer, false, now + milliseconds(999)).empty());
  EXPECT_EQ(paths.call(peer, false, now + seconds(1)).size(), 1U);
  paths.end_call_pause(peer);
  EXPECT_EQ(paths.call(peer, false, now + seconds(1)).size(), 1U);
  peer.path.set_relays({kServerRelay}, now);
  const auto calls = paths.call(peer, true, now + seconds(1));
  ASSERT_EQ(calls.size(), 2U) << "through the relay as well";
  EXPECT_TRUE(std::get<CallMessage>(calls[1].message).moved);
  EXPECT_EQ(calls[1].way, Way::through(kServerRelay));
}

TEST_F(PathsTest, ACallMakesUsSearchUnlessWeHaveAPath) {
  begin_session(peer);
  EXPECT_FALSE(paths.on_call(peer, {.candidates = {told}}, relayed(), now).doubts);
  EXPECT_EQ(peer.path.searching_for(now), Duration::zero());
  // Calls of a peer without news trigger no search for a while.
  now += seconds(5);
  paths.on_call(peer, {.candidates = {told}}, relayed(), now);
  EXPECT_EQ(peer.path.searching_for(now), seconds(5));
  now += seconds(11);
  paths.on_call(peer, {.candidates = {told}}, relayed(), now);
  EXPECT_EQ(peer.path.searching_for(now), Duration::zero());
  reach(other);
  EXPECT_TRUE(paths.on_call(other, {}, relayed(), now).doubts);
}

TEST_F(PathsTest, ACallMakesUsDoubtTheRelayThatThePeerMayHaveLeft) {
  begin_session(peer);
  peer.path.set_relays({kServerRelay, {9}}, now);
  EXPECT_FALSE(paths.on_call(peer, {}, relayed(), now).doubts);
  EXPECT_FALSE(peer.path.in_doubt());
  ASSERT_TRUE(peer.path.adopt(Way::through({9}), milliseconds(1), now));
  now += seconds(10);
  EXPECT_TRUE(paths.on_call(peer, {}, relayed(), now).doubts);
  EXPECT_TRUE(peer.path.in_doubt());
}

TEST_F(PathsTest, APeerThatMovedMustProveItsPathAgain) {
  reach(peer);
  EXPECT_FALSE(paths.on_call(peer, {.moved = true, .candidates = {}}, from(at(peer)), now).doubts);
  const auto ways = peer.path.ways(now);
  EXPECT_TRUE(std::ranges::none_of(ways, [](const WayStatus& w) { return w.way.direct() && w.answers; }));
}

TEST_F(PathsTest, AReplacedNatOfThePeerIsReported) {
  EXPECT_TRUE(paths.on_call(peer, {.nat = NatMapping::per_destination, .candidates = {}}, relayed(), now).other_nat);
  EXPECT_FALSE(paths.on_call(peer, {.nat = NatMapping::per_destination, .candidates = {}}, relayed(), now).other_nat);
  EXPECT_EQ(peer.paths.nat(), NatMapping::per_destination);
}

TEST_F(PathsTest, TwoReachablePeersAreIntroducedToEachOther) {
  reach(peer);
  EXPECT_FALSE(paths.introduce(peer, {told}, from(at(peer)), other)) << "we do not reach it";
  reach(other);
  const auto both = paths.introduce(peer, {told}, from(at(peer)), other);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->to_sought.member, peer.member.id);
  EXPECT_EQ(both->to_sought.candidates, (std::vector{Candidate{Candidate::Kind::seen, at(peer)}, told}));
  EXPECT_EQ(both->to_asker.member, other.member.id);
  EXPECT_EQ(both->to_asker.candidates[0].endpoint, at(other));
  EXPECT_EQ(paths.introduce(peer, {told}, relayed(), other)->to_sought.candidates, std::vector{told})
      << "the relay's address says nothing about the asker";
  EXPECT_FALSE(paths.introduce(peer, {}, relayed(), peer));
}

TEST_F(PathsTest, RequestsAndSearchesAreRateLimited) {
  EXPECT_TRUE(paths.may_answer(peer, now));
  EXPECT_FALSE(paths.may_answer(peer, now + milliseconds(199)));
  EXPECT_TRUE(paths.may_answer(other, now));
  EXPECT_TRUE(paths.may_answer(peer, now + milliseconds(200)));
  EXPECT_TRUE(paths.on_introduced(peer, other, {told}, now));
  EXPECT_EQ(paths.usable(peer).size(), 2U);
  EXPECT_FALSE(paths.on_introduced(peer, other, {told}, now + milliseconds(999)));
}

TEST_F(PathsTest, OfAFloodOfCallsTheLastOneIsTakenTwiceASecond) {
  const auto call = [&](std::uint16_t port) {
    return CallMessage{.candidates = {{Candidate::Kind::local, {*parse_ip("192.0.2.1"), port}}}};
  };
  int taken = 0, named = 0;
  std::uint16_t newest = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    const Instant then = now + milliseconds(ms);
    if (then >= Paths::waiting_call_at(peer)) {
      const auto waited = Paths::take_waiting_call(peer, then);
      ASSERT_TRUE(waited);
      EXPECT_EQ(waited->first.candidates, call(newest).candidates) << "the last one";
      ++taken;
    }
    newest = static_cast<std::uint16_t>(ms);
    const auto verdict = Paths::judge(peer, call(newest), relayed(), then);
    taken += verdict == Paths::Verdict::now ? 1 : 0;
    named += verdict == Paths::Verdict::tell ? 1 : 0;
  }
  EXPECT_GE(taken, 31 + 18);
  EXPECT_LE(taken, 31 + 20);
  EXPECT_EQ(named, 1);
  EXPECT_FALSE(Paths::take_waiting_call(other, now + seconds(10)));
  EXPECT_EQ(Paths::waiting_call_at(other), kNever);
}

TEST_F(PathsTest, APeerThatMovesAgainAndAgainIsHeardAtOnce) {
  // By eight ways at once, every four seconds.
  for (int n = 0; n < 80; ++n) {
    EXPECT_EQ(Paths::judge(peer, {.moved = true, .candidates = {}}, relayed(), now + seconds(n / 8 * 4)),
              Paths::Verdict::now)
        << n;
  }
}

TEST_F(PathsTest, OneMemberIntroducesOnlySoMany) {
  int taken = 0;
  for (int ms = 0; ms < 1000; ++ms) taken += Paths::may_introduce(peer, now + milliseconds(ms)) ? 1 : 0;
  EXPECT_EQ(taken, 31 + 1);
  EXPECT_TRUE(Paths::may_introduce(other, now));
}

TEST_F(PathsTest, PingsOfThePathInUseAskHowMuchArrived) {
  reach(peer);
  const Way way = *peer.path.path();
  EXPECT_TRUE(paths.ping(peer, {way, 1}, now).counted);
  EXPECT_FALSE(paths.ping(peer, {Way::through(kServerRelay), 2}, now).counted);
  counters.drop(Drop::congested, 3);
  const auto pong = paths.pong({1, true}, from(at(peer)), 17);
  EXPECT_EQ(pong.seen_from, at(peer));
  ASSERT_TRUE(pong.counts);
  EXPECT_EQ(pong.counts->arrived, 17U);
  EXPECT_EQ(pong.counts->lost_here, 3U);
  EXPECT_FALSE(paths.pong({1, false}, from(at(peer)), 17).counts);
  EXPECT_FALSE(paths.pong({1, true}, relayed(), 17).seen_from.valid());
  begin_session(peer, Features{});
  EXPECT_FALSE(paths.ping(peer, {way, 3}, now).counted) << "version 0.1 does not count";
}

TEST_F(PathsTest, LargeTrafficTriggersSizeProbesAndAnswersRaiseTheSize) {
  reach(peer);
  const std::size_t before = route(peer).max_plain;
  peer.activity->last_large = now.time_since_epoch().count();
  const auto asked = paths.size_pings(peer, route(peer), 1400, now);
  ASSERT_FALSE(asked.empty());
  for (const auto& ping : asked) {
    EXPECT_EQ(ping.way, peer.path.path());
    paths.on_size_pong(peer, std::get<mesh::SizePingMessage>(ping.message).id, now + milliseconds(20));
  }
  EXPECT_GT(route(peer).max_plain, before);
  paths.forget_sizes(peer);
  EXPECT_EQ(route(peer).max_plain, before);
}

// One who only receives never searches, and its SYN-ACK is what the other's segments are made by.
TEST_F(PathsTest, ThePeersSegmentsMayBeAsLargeAsWhatItAskedWhetherItArrives) {
  reach(peer);
  const std::size_t ethernet = route(peer).promised_plain;
  EXPECT_GT(ethernet, 1400U);
  EXPECT_LT(ethernet, 1500U);
  EXPECT_EQ(route(peer, 9000).promised_plain, l2::kNoLimit) << "nothing is known, and the network is for jumbo frames";
  for (const std::size_t size : {1400U, 8000U, 1300U}) {
    Paths::on_size_ping(peer, {1, size - mesh::kSizePingSize}, from(at(peer)));
  }
  EXPECT_EQ(route(peer, 9000).promised_plain, 8000U);
  EXPECT_EQ(route(peer).promised_plain, 8000U);
  Paths::on_size_ping(peer, {1, 1300 - mesh::kSizePingSize}, relayed());
  EXPECT_EQ(route(peer).promised_plain, ethernet) << "that came by another way";
  Paths::on_size_ping(peer, {1, 1300 - mesh::kSizePingSize}, from(at(peer)));
  EXPECT_EQ(route(peer).promised_plain, 1300U);
  paths.forget_sizes(peer);
  EXPECT_EQ(route(peer).promised_plain, ethernet);
}

TEST_F(PathsTest, BeyondTheServersLimitSizesAreNeitherCheckedNorTold) {
  begin_session(peer);
  peer.path.set_relays({kServerRelay}, now);
  const auto large = [&](Duration later) {
    now += later;
    peer.activity->last_large = now.time_since_epoch().count();
    return paths.size_pings(peer, relayed_route(), 1400, now);
  };
  for (auto asked = large({}); !peer.paths.mtu().settled(*peer.path.path()); asked = large(seconds(1))) {
    for (const auto& ping : asked) {
      paths.on_size_pong(peer, std::get<mesh::SizePingMessage>(ping.message).id, now + milliseconds(20));
    }
  }
  const auto shown = [&] {
    return status_of(peer, relayed_route(), {.server_limits = relays.server_limits(now)}, now);
  };
  ASSERT_TRUE(shown().path_mtu);
  relays.on_server_limit(now);
  EXPECT_FALSE(shown().path_mtu);
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(large(seconds(1)).empty()) << "they are lost for another reason";
  EXPECT_FALSE(large(seconds(11)).empty()) << "the server told of no more";
  EXPECT_TRUE(shown().path_mtu);
}

TEST_F(PathsTest, APeerThatDoesNotAnswerSizeProbesGetsWholeFrames) {
  reach(peer);
  begin_session(peer, Features{});
  EXPECT_FALSE(Paths::sized(peer));
  EXPECT_EQ(route(peer).max_plain, l2::kNoLimit);
  EXPECT_TRUE(route(peer).runs);
}

}  // namespace
}  // namespace eps::node
