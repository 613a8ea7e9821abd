// SPDX-License-Identifier: MIT
#include "mesh/path_finder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/seeded_rng.h"

namespace eps::mesh {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Way kLan = Way::straight({*parse_ip("10.0.0.2"), 4000});
const Way kPublic = Way::straight({*parse_ip("192.0.2.9"), 5000});
const Way kPublic6 = Way::straight({*parse_ip("2001:db8::9"), 5000});
const Way kServer = Way::through(kServerRelay);
const Way kMember = Way::through({9});
const std::vector<Candidate> kCandidates = {
    {Candidate::Kind::local, kLan.to}, {Candidate::Kind::observed, kPublic.to}, {Candidate::Kind::local, kPublic6.to}};

class PathFinderTest : public testing::Test {
 protected:
  PathFinderTest() : rng(7), finder(rng) {
    finder.set_candidates(kCandidates, {}, now, true);
    finder.set_relays({kServerRelay}, now);
  }
  std::vector<Ping> due() { return finder.take_due(now, true); }
  static std::uint64_t id_for(const std::vector<Ping>& pings, const Way& way) {
    const auto it = std::ranges::find(pings, way, &Ping::way);
    return it == pings.end() ? 0 : it->id;
  }
  // Everything in `answers` is answered after its round trip; true if the path changed.
  bool answer(const std::vector<Ping>& pings, const std::vector<std::pair<Way, Duration>>& answers) {
    bool changed = false;
    const Instant sent = now;
    for (const auto& [way, round_trip] : answers) {
      now = sent + round_trip;
      changed |= finder.on_pong(way, id_for(pings, way), now);
    }
    return changed;
  }
  Instant now{seconds(100)};
  test::SeededRng rng;
  PathFinder finder;
};

TEST_F(PathFinderTest, TheServersRelayServesAtOnce) {
  EXPECT_EQ(finder.path(), kServer);
  EXPECT_FALSE(finder.direct());
}

TEST_F(PathFinderTest, UsesAnEndpointOnlyAfterItsOwnAnswer) {
  const auto pings = due();
  ASSERT_EQ(pings.size(), 4U) << "three endpoints and the relay";
  now += milliseconds(3);
  EXPECT_FALSE(finder.on_pong(kPublic, id_for(pings, kLan), now)) << "the LAN ping's id from another endpoint";
  EXPECT_TRUE(finder.on_pong(kPublic, id_for(pings, kPublic), now));
  EXPECT_EQ(finder.path(), kPublic);
  EXPECT_EQ(finder.round_trip(), milliseconds(3));
  EXPECT_FALSE(finder.on_pong(kPublic, id_for(pings, kPublic), now)) << "an answer counts once";
}

TEST_F(PathFinderTest, LanBeforeIpv6BeforeOtherAddressesBeforeTheRelay) {
  const auto pings = due();
  EXPECT_TRUE(answer(pings, {{kServer, milliseconds(2)}, {kPublic, milliseconds(3)}}));
  EXPECT_EQ(finder.path(), kPublic);
  EXPECT_TRUE(answer(pings, {{kPublic6, milliseconds(4)}}));
  EXPECT_EQ(finder.path(), kPublic6);
  EXPECT_TRUE(answer(pings, {{kLan, milliseconds(5)}}));
  EXPECT_EQ(finder.path(), kLan);
  EXPECT_TRUE(finder.on_lan());
  now += kProbeRounds[1];
  EXPECT_TRUE(due().empty()) << "nothing better is left to ask";
}

TEST_F(PathFinderTest, ASearchInVainCountsFromTheLastAnswer) {
  answer(due(), {{kPublic, milliseconds(3)}});
  EXPECT_FALSE(finder.in_vain_for(now));
  finder.reset(now);
  EXPECT_FALSE(finder.in_vain_for(now));
  finder.begin(now);
  for (int i = 0; i < 3; ++i) {
    now += seconds(14);
    finder.begin(now);
  }
  EXPECT_EQ(finder.searching_for(now), Duration::zero());
  EXPECT_EQ(finder.in_vain_for(now), seconds(42)) << "however often the rounds begin";
}

TEST_F(PathFinderTest, AMuchShorterRoundTripOverrulesTheOrderAndSmallDifferencesDoNot) {
  answer(due(), {{kLan, milliseconds(5)}, {kPublic, milliseconds(8)}, {kPublic6, milliseconds(60)}});
  EXPECT_EQ(finder.path(), kLan);
  // The LAN's way gets slow (a tunnel, say): the next slow rounds show it.
  for (int i = 0; i < 40 && finder.path() == kLan; ++i) {
    now = std::max(now, finder.next_deadline());
    const auto pings = due();
    if (id_for(pings, kLan) != 0) answer(pings, {{kPublic, milliseconds(6)}, {kLan, milliseconds(90)}});
  }
  EXPECT_EQ(finder.path(), kPublic);
}

TEST_F(PathFinderTest, ARelayReplacesADirectWayOnlyWhenMuchFaster) {
  answer(due(), {{kServer, milliseconds(10)}, {kPublic, milliseconds(50)}});
  EXPECT_EQ(finder.path(), kPublic);
  finder.begin(now);
  answer(due(), {{kServer, milliseconds(10)}, {kPublic, milliseconds(400)}});
  EXPECT_EQ(finder.path(), kServer) << "(50 * 3 + 400) / 4 is 137 ms";
}

TEST_F(PathFinderTest, AMemberRelaysOnceItHasAnsweredAndWhenItIsFaster) {
  finder.set_relays({kServerRelay, {9}}, now);
  EXPECT_EQ(finder.path(), kServer);
  EXPECT_TRUE(answer(due(), {{kMember, milliseconds(4)}, {kServer, milliseconds(40)}}));
  EXPECT_EQ(finder.path(), kMember);
  finder.set_relays({kServerRelay}, now);
  EXPECT_EQ(finder.path(), kServer) << "its owner has stopped it";
}

TEST_F(PathFinderTest, WithoutAnyRelayAMemberThatAnswersRelays) {
  finder.set_relays({{9}}, now);
  EXPECT_FALSE(finder.path()) << "not before it has answered";
  answer(due(), {{kMember, milliseconds(4)}});
  EXPECT_EQ(finder.path(), kMember);
}

TEST_F(PathFinderTest, GivesUpASilentPathInUnderTwoSeconds) {
  answer(due(), {{kLan, milliseconds(1)}});
  const Instant silent_since = now;
  bool lost = false;
  while (!lost && now - silent_since < seconds(3)) {
    now += milliseconds(100);
    lost = finder.watch(now, silent_since, now);
    due();
  }
  EXPECT_TRUE(lost);
  EXPECT_LT(now - silent_since, seconds(2));
  EXPECT_EQ(finder.path(), kServer);
  now += kProbeRounds[1];
  EXPECT_NE(id_for(due(), kLan), 0U) << "it is probed again";
}

TEST_F(PathFinderTest, WhoOnlyAnswersAsksAtTheEndOfAStreamAndNotAfterASingleDatagram) {
  answer(due(), {{kLan, milliseconds(1)}});
  const auto listen = [&](int times) {
    for (int i = 0; i < times; ++i) {
      now += milliseconds(200);
      finder.watch(now, now, now);  // what came is answered at once
    }
  };
  const auto asks_after = [&](Duration silence) {
    due();
    const Instant last = now;
    while (now - last < silence) {
      now += milliseconds(200);
      finder.watch(last, last, now);
    }
    return finder.in_doubt();
  };
  listen(1);
  EXPECT_FALSE(asks_after(seconds(5)));
  listen(5);
  EXPECT_TRUE(asks_after(kSilence));
}

TEST_F(PathFinderTest, WithoutARelayTheLastKnownWayIsKept) {
  answer(due(), {{kLan, milliseconds(1)}});
  finder.set_relays({}, now);
  const Instant silent_since = now;
  for (int i = 0; i < 40; ++i) {
    now += milliseconds(100);
    finder.watch(now, silent_since, now);
    due();
  }
  EXPECT_EQ(finder.path(), kLan);
  EXPECT_TRUE(finder.given_up());
}

TEST_F(PathFinderTest, ADoubtedPathHasTwoMoreChances) {
  answer(due(), {{kLan, milliseconds(1)}});
  now += seconds(10);
  due();
  finder.doubt(now);
  auto pings = due();
  EXPECT_FALSE(finder.watch(now, now - seconds(5), now));
  EXPECT_FALSE(finder.on_pong(kLan, id_for(pings, kLan), now)) << "the same path as before";
  now += kPingAgain;
  EXPECT_FALSE(finder.watch(now, now - kPingAgain, now));
  finder.doubt(now);
  EXPECT_TRUE(due().empty()) << "it has just answered";
  now += seconds(2);
  finder.doubt(now);
  EXPECT_EQ(due().size(), 2U);
  now += kPingAgain - milliseconds(1);
  EXPECT_FALSE(finder.watch(now, now - seconds(5), now));
  now += milliseconds(1);
  EXPECT_TRUE(finder.watch(now, now - seconds(5), now));
}

TEST_F(PathFinderTest, ACallWhileASilentPathIsPingedLeavesItAtOnce) {
  answer(due(), {{kLan, milliseconds(1)}});
  now += seconds(10);
  due();
  const Instant silent_since = now - seconds(1);
  EXPECT_FALSE(finder.watch(now, silent_since, now));
  ASSERT_TRUE(finder.in_doubt());
  now += milliseconds(100);
  finder.doubt(now);
  now += kPingAgain;
  EXPECT_TRUE(finder.watch(now, silent_since, now)) << "not after two pings more";
}

TEST_F(PathFinderTest, TrafficByADoubtedPathDoesNotSaveIt) {
  answer(due(), {{kLan, milliseconds(1)}});
  now += seconds(10);
  finder.doubt(now);
  due();
  EXPECT_FALSE(finder.watch(now, now, now));
  now += kPingAgain;
  EXPECT_TRUE(finder.watch(now, now, now)) << "the peer's pings arrive, and nothing of ours";
}

TEST_F(PathFinderTest, KeepsAPathThatAnswers) {
  answer(due(), {{kLan, milliseconds(1)}});
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(100);
    EXPECT_FALSE(finder.watch(now, now - milliseconds(300), now));
  }
  EXPECT_EQ(finder.path(), kLan);
}

TEST_F(PathFinderTest, IsSilentWithoutTraffic) {
  for (int i = 0; i < 400; ++i) {
    now += milliseconds(100);
    finder.take_due(now, false);
  }
  EXPECT_EQ(finder.next_deadline(), kNever);
}

TEST_F(PathFinderTest, FollowsANewNatMappingAsSoonAsTheNewPortAnswers) {
  answer(due(), {{kPublic, milliseconds(20)}});
  now += seconds(20);
  due();
  const Way anew = Way::straight({kPublic.to.ip, 6000});
  finder.heard_from(anew, now);
  EXPECT_TRUE(answer(due(), {{anew, milliseconds(20)}}));
  EXPECT_EQ(finder.path(), anew);
}

TEST_F(PathFinderTest, FollowsAPeerThatSendsFromElsewhereWhenTheOldWayIsSilent) {
  answer(due(), {{kLan, milliseconds(1)}});
  now += seconds(20);
  due();
  finder.heard_from(kPublic, now);
  answer(due(), {{kPublic, milliseconds(20)}});
  EXPECT_EQ(finder.path(), kLan) << "the old way has a moment to answer";
  now += kChallenge;
  due();
  EXPECT_EQ(finder.path(), kPublic);
}

TEST_F(PathFinderTest, StaysWhenThePeerSendsByAnotherWayAndOursAnswers) {
  answer(due(), {{kLan, milliseconds(1)}});
  now += seconds(20);
  due();
  std::size_t pings = 0;
  for (int i = 0; i < 40; ++i) {
    finder.heard_from(kPublic, now);
    const auto asked = due();
    pings += asked.size();
    answer(asked, {{kLan, milliseconds(1)}, {kPublic, milliseconds(20)}});
    now += milliseconds(100);
  }
  EXPECT_EQ(finder.path(), kLan);
  EXPECT_LT(pings, 10U) << "and it is not asked with every datagram";
}

TEST_F(PathFinderTest, AfterAMoveEveryDirectWayHasToAnswerAgain) {
  answer(due(), {{kLan, milliseconds(1)}});
  finder.moved(now);
  EXPECT_EQ(finder.path(), kServer);
  EXPECT_TRUE(answer(due(), {{kPublic, milliseconds(9)}}));
  EXPECT_EQ(finder.path(), kPublic);
}

TEST_F(PathFinderTest, RecognisesTheLanByThisNodesOwnAddresses) {
  PathFinder near(rng);
  near.set_candidates({{Candidate::Kind::observed, kPublic.to}}, {*parse_ip("192.0.2.200")}, now, true);
  near.adopt(kPublic, std::nullopt, now);
  EXPECT_TRUE(near.on_lan());
  PathFinder far(rng);
  far.set_candidates({{Candidate::Kind::local, kPublic6.to}}, {*parse_ip("2001:db8:1::1")}, now, true);
  far.adopt(kPublic6, std::nullopt, now);
  EXPECT_FALSE(far.on_lan()) << "a global address of its own is no LAN: a firewall may need keepalives";
}

TEST_F(PathFinderTest, BoundsWhatItProbes) {
  for (std::uint16_t port = 2; port < 1000; ++port) finder.heard_from(Way::straight({kPublic.to.ip, port}), now);
  finder.begin(now);
  due();
  EXPECT_LE(finder.ways(now).size(), kMaxWays);
  for (const Way& way : {kLan, kPublic, kPublic6}) {
    EXPECT_TRUE(std::ranges::any_of(finder.ways(now), [&](const WayStatus& w) { return w.way == way; }));
  }
}

TEST_F(PathFinderTest, RemembersAttemptsAndTheirResults) {
  answer(due(), {{kPublic, milliseconds(3)}});
  const auto ways = finder.ways(now);
  const auto by = [&](const Way& way) { return *std::ranges::find(ways, way, &WayStatus::way); };
  EXPECT_TRUE(by(kPublic).in_use);
  EXPECT_EQ(by(kPublic).pongs, 1U);
  EXPECT_EQ(by(kPublic).origin, WayStatus::Origin::observed);
  EXPECT_EQ(by(kLan).pings, 1U);
  EXPECT_FALSE(by(kLan).answers);
  const auto events = finder.events(now);
  EXPECT_TRUE(
      std::ranges::any_of(events, [](const PathEvent& e) { return e.what == "192.0.2.9:5000 answers in 3.0 ms"; }));
  EXPECT_LE(events.size(), kMaxEvents);
}

// Traffic flows: ticks of 200 ms, and each way answers after its round trip unless it loses the ping.
class PathFinderTraffic : public PathFinderTest {
 protected:
  struct Link {
    Way way;
    Duration round_trip;
    double loss = 0;  // of each direction
  };
  void run(const std::vector<Link>& links, Duration time) {
    for (const Instant ends = now + time; now < ends; now += milliseconds(200)) {
      pongs(now);
      const auto before = finder.path();
      for (const Ping& ping : finder.take_due(now, true)) {
        const auto it = std::ranges::find(links, ping.way, &Link::way);
        if (it == links.end() || lost(it->loss) || lost(it->loss)) continue;
        waiting.emplace_back(now + it->round_trip, ping);
      }
      finder.watch(now, heard, now);
      const auto it = std::ranges::find_if(links, [&](const Link& l) { return l.way == finder.path(); });
      if (it != links.end()) {
        if (it->loss < 1) heard = now;
        std::int64_t arrived = 0;
        for (int i = 0; i < 20; ++i) arrived += lost(it->loss) ? 0 : 1;
        finder.on_counts(it->way, 20, 20 - arrived, now);
      }
      moves += finder.path() != before ? 1 : 0;
    }
  }
  void pongs(Instant until) {
    std::ranges::sort(waiting, {}, [](const auto& w) { return w.first; });
    while (!waiting.empty() && waiting.front().first <= until) {
      const auto [at, ping] = waiting.front();
      waiting.erase(waiting.begin());
      moves += finder.on_pong(ping.way, ping.id, at) ? 1 : 0;
    }
  }
  bool lost(double share) { return rng.below(1000) < static_cast<std::uint64_t>(share * 1000); }
  std::vector<std::pair<Instant, Ping>> waiting;
  Instant heard = now;
  int moves = 0;
};

TEST_F(PathFinderTraffic, LeavesALossyDirectWayForACleanRelayAndReturnsWhenItRecovers) {
  for (const double loss : {0.2, 0.5}) {
    run({{kPublic, milliseconds(2)}, {kServer, milliseconds(20)}}, seconds(60));
    ASSERT_EQ(finder.path(), kPublic);
    run({{kPublic, milliseconds(2), loss}, {kServer, milliseconds(20)}}, seconds(4));
    EXPECT_EQ(finder.path(), kServer);
    moves = 0;
    run({{kPublic, milliseconds(2), loss}, {kServer, milliseconds(20)}}, seconds(120));
    EXPECT_EQ(finder.path(), kServer);
    EXPECT_EQ(moves, 0);
    run({{kPublic, milliseconds(2)}, {kServer, milliseconds(20)}}, seconds(30));
    EXPECT_EQ(finder.path(), kPublic);
  }
}

TEST_F(PathFinderTraffic, DoesNotLeaveALossyWayForOneThatLosesAsMuch) {
  run({{kPublic, milliseconds(2), 0.2}, {kServer, milliseconds(20), 0.2}}, seconds(120));
  EXPECT_LE(moves, 6);
}

TEST_F(PathFinderTraffic, ASlowDirectWayBesideAFastRelayDoesNotCauseOscillation) {
  for (int i = 0; i < 60; ++i) {
    const milliseconds jitter(70 + 23 * (i % 11));
    run({{kPublic, jitter}, {kServer, milliseconds(1)}}, seconds(1));
    if (i > 2) {
      EXPECT_FALSE(finder.searching_for(now)) << "it answers";
    }
  }
  EXPECT_LE(moves, 3);
  EXPECT_EQ(finder.path(), kServer);
}

TEST_F(PathFinderTraffic, ADirectWayThatBecomesSlowIsLeftWithinSeconds) {
  run({{kPublic, milliseconds(5)}, {kServer, milliseconds(8)}}, seconds(100));
  ASSERT_EQ(finder.path(), kPublic);
  run({{kPublic, milliseconds(300)}, {kServer, milliseconds(8)}}, seconds(4));
  EXPECT_EQ(finder.path(), kServer);
  run({{kPublic, milliseconds(5)}, {kServer, milliseconds(8)}}, seconds(40));
  EXPECT_EQ(finder.path(), kPublic);
}

TEST_F(PathFinderTraffic, AServersRelayThatFallsSilentIsReplacedInUnderTwoSecondsAndNotBelievedAgainBeforeItAnswers) {
  finder.set_relays({kServerRelay, {9}}, now);
  run({{kServer, milliseconds(10)}, {kMember, milliseconds(20)}}, seconds(20));
  ASSERT_EQ(finder.path(), kServer);
  run({{kMember, milliseconds(20)}}, milliseconds(1900));
  EXPECT_EQ(finder.path(), kMember);
  moves = 0;
  finder.set_relays({{9}}, now);
  finder.set_relays({kServerRelay, {9}}, now);
  run({{kMember, milliseconds(20)}}, seconds(30));
  EXPECT_EQ(moves, 0);
  // Nor when that one falls silent and another has answered.
  const Way other = Way::through({10});
  finder.set_relays({{9}, {10}}, now);
  run({{kMember, milliseconds(20)}, {other, milliseconds(30)}}, seconds(70));
  ASSERT_EQ(finder.path(), kMember);
  finder.set_relays({kServerRelay, {9}, {10}}, now);
  run({{other, milliseconds(30)}}, milliseconds(1900));
  EXPECT_EQ(finder.path(), other);
}

TEST_F(PathFinderTraffic, APeerThatIsGoneIsNotSearchedForAgainAndAgain) {
  run({{kPublic, milliseconds(5)}, {kServer, milliseconds(8)}}, seconds(10));
  std::size_t pings = 0;
  const Instant silent = now;
  for (; now - silent < seconds(60); now += milliseconds(200)) {
    pings += finder.take_due(now, true).size();
    finder.watch(now, silent, now);
  }
  EXPECT_LT(pings, 400U);
}

}  // namespace
}  // namespace eps::mesh
