// SPDX-License-Identifier: MIT
#include "node/relay_directory.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "node/peer.h"
#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::seconds;
using Ids = std::vector<MemberId>;

const Endpoint kServer{*parse_ip("192.0.2.1"), kDefaultPort};

class RelayDirectoryTest : public testing::Test {
 protected:
  RelayDirectoryTest() {
    for (std::uint32_t id = 2; id < 10; ++id) all.emplace(MemberId{id}, &peer(id));
  }
  Peer& peer(std::uint32_t id) { return peers.try_emplace({id}, test::member_of(id), rng).first->second; }
  // A session with a direct path.
  Peer& reach(std::uint32_t id) {
    Peer& p = peer(id);
    sessions.install(p.sessions, test::session_of(true, now), now);
    p.path.adopt(Way::straight(p.member.candidates[0].endpoint), std::nullopt, now);
    relays.on_session(p);
    served.on_session(p);
    return p;
  }

  Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  PeersParams params;
  Counters counters;
  std::vector<std::string> notes;
  Sessions sessions{params, counters, notes, rng};
  std::map<MemberId, Peer> peers;
  std::map<MemberId, Peer*> all;
  RelayDirectory relays{false, rng};
  RelayDirectory served{true, rng};  // of a node started with --relay
};

TEST_F(RelayDirectoryTest, TheServerRelaysByTheTransportThatWorks) {
  EXPECT_FALSE(relays.hop_of(kServerRelay));
  EXPECT_TRUE(relays.usable_for(peer(2)).empty());
  EXPECT_TRUE(relays.set_server(kServer, 7, ServerRelay::inside, 0).usable);
  EXPECT_EQ(relays.hop_of(kServerRelay)->endpoint, dataplane::stream_endpoint(kServerRelay));
  EXPECT_FALSE(relays.set_server(kServer, 7, ServerRelay::udp, 0).usable) << "it could relay before";
  EXPECT_EQ(relays.hop_of(kServerRelay)->endpoint, kServer);
  EXPECT_TRUE(relays.set_server(kServer, 7, ServerRelay::udp, 3).socket);
  // What it relays may arrive by either transport.
  EXPECT_EQ(relays.hops().size(), 2U);
}

TEST_F(RelayDirectoryTest, TheServerCannotRelayToAnOfflineMember) {
  relays.set_server(kServer, 7, ServerRelay::udp, 0);
  EXPECT_EQ(relays.usable_for(peer(2)), Ids{kServerRelay});
  peer(2).member.online = false;
  EXPECT_TRUE(relays.usable_for(peer(2)).empty());
}

TEST_F(RelayDirectoryTest, AMemberRelaysWhileItsOfferAndADirectPathExist) {
  Peer& relay = reach(3);
  EXPECT_TRUE(relays.on_offer(relay, 77));
  EXPECT_FALSE(relays.on_offer(relay, 77)) << "nothing new";
  EXPECT_EQ(relays.usable_for(peer(2)), Ids{{3}});
  EXPECT_EQ(relays.hop_of({3})->tag, 77U);
  EXPECT_EQ(relays.hop_of({3})->endpoint, relay.member.candidates[0].endpoint);
  EXPECT_TRUE(relays.usable_for(relay).empty()) << "not for itself";
  relay.path.reset(now);
  EXPECT_FALSE(relays.hop_of({3}));
  reach(3);
  EXPECT_TRUE(relays.hop_of({3}));
  EXPECT_TRUE(relays.on_offer(relay, 0));
  EXPECT_FALSE(relays.hop_of({3}));
}

TEST_F(RelayDirectoryTest, AnOfferEndsWithTheSession) {
  Peer& relay = reach(3);
  relays.on_offer(relay, 77);
  relays.end_sessions(relay);
  EXPECT_TRUE(relays.usable_for(peer(2)).empty());
  EXPECT_TRUE(relays.hops().empty());
}

TEST_F(RelayDirectoryTest, OnlyAFewRelaysAreTried) {
  for (std::uint32_t id = 3; id < 9; ++id) relays.on_offer(reach(id), id);
  relays.set_server(kServer, 7, ServerRelay::udp, 0);
  EXPECT_EQ(relays.usable_for(peer(2)).size(), 1 + kMaxMemberRelays);
}

TEST_F(RelayDirectoryTest, MembersStartedToRelayAreAskedForOffers) {
  for (const std::uint32_t id : {2U, 4U, 5U, 6U, 7U}) {
    peer(id).member.relays = true;
    relays.on_member(peer(id).member);
  }
  peer(5).member.relays = false;
  relays.on_member(peer(5).member);
  EXPECT_EQ(relays.to_seek({2}), (std::vector<MemberId>{{4}, {6}, {7}}));
  EXPECT_TRUE(relays.lacks_offer(peer(4), now));
  Peer& relay = reach(4);
  EXPECT_FALSE(relays.lacks_offer(relay, now)) << "its offer is on the way";
  EXPECT_TRUE(relays.lacks_offer(relay, now + seconds(6))) << "it was lost";
  relays.on_offer(relay, 9);
  EXPECT_FALSE(relays.lacks_offer(relay, now + seconds(6)));
  relays.forget({4});
  EXPECT_EQ(relays.to_seek({2}).front(), MemberId{6});
}

TEST_F(RelayDirectoryTest, OurOfferIsSentOncePerSessionAndServedWhereThereIsAPath) {
  Peer& p = reach(2);
  EXPECT_FALSE(relays.take_offer(p)) << "this node does not relay";
  EXPECT_EQ(relays.serves(all), nullptr);
  const auto tag = served.take_offer(p);
  ASSERT_TRUE(tag);
  EXPECT_FALSE(served.take_offer(p));
  const auto table = served.serves(all);
  ASSERT_NE(table->by_tag(*tag), nullptr);
  EXPECT_EQ(table->by_tag(*tag)->endpoint, p.member.candidates[0].endpoint);
  EXPECT_EQ(table->by_id({3}), nullptr);
  // In a new session it is sent again; the tag stays.
  served.on_session(p);
  EXPECT_EQ(served.take_offer(p), tag);
  served.end_sessions(p);
  p.path.reset(now);
  EXPECT_FALSE(served.take_offer(p));
}

TEST_F(RelayDirectoryTest, AMemberMayRelayToUsByEveryWayThatAnswers) {
  Peer& p = reach(4);
  relays.on_offer(p, 9);
  ASSERT_EQ(relays.hops().size(), 1U);
  Endpoint other = p.member.candidates[0].endpoint;
  ++other.port;
  p.path.adopt(Way::straight(other), seconds(1), now);
  const auto hops = relays.hops();
  ASSERT_EQ(hops.size(), 2U);
  EXPECT_EQ(hops[0].endpoint, p.member.candidates[0].endpoint) << "the path in use";
  EXPECT_EQ(hops[1].endpoint, other);
  EXPECT_EQ(hops[1].relay, MemberId{4});
}

TEST_F(RelayDirectoryTest, AMemberIsServedByEveryWayThatAnswers) {
  Peer& p = reach(2);
  const auto tag = served.take_offer(p);
  Endpoint other = p.member.candidates[0].endpoint;
  ++other.port;
  EXPECT_FALSE(served.serves(all)->by_tag(*tag)->sends_from(other));
  p.path.adopt(Way::straight(other), seconds(1), now);
  const auto table = served.serves(all);
  EXPECT_EQ(table->by_tag(*tag)->endpoint, p.member.candidates[0].endpoint) << "the path in use";
  EXPECT_TRUE(table->by_tag(*tag)->sends_from(p.member.candidates[0].endpoint));
  EXPECT_TRUE(table->by_tag(*tag)->sends_from(other));
}

TEST_F(RelayDirectoryTest, TheServedHaveTheSameTableUntilSomethingChanges) {
  reach(2);
  const auto table = served.serves(all);
  EXPECT_EQ(served.serves(all), table);
  Peer& other = reach(3);
  const auto of_two = served.serves(all);
  EXPECT_NE(of_two, table);
  sessions.end(other.sessions);
  EXPECT_EQ(served.serves(all)->by_id({3}), nullptr);
  EXPECT_NE(of_two->by_id({3}), nullptr) << "a worker may still be reading that one";
}

}  // namespace
}  // namespace eps::node
