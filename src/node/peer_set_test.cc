// SPDX-License-Identifier: MIT
#include "node/peer_set.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::seconds;
using Ids = std::vector<MemberId>;

class PeerSetTest : public testing::Test {
 protected:
  PeerSetTest() {
    for (std::uint32_t id = 2; id < 6; ++id) put(id);
  }
  void put(std::uint32_t id) {
    peers.put(std::make_shared<const Member>(test::member_of(id, crypto::generate_key_pair(rng).public_key)));
  }
  Peer& find(std::uint32_t id) { return *peers.find({id}).peer; }
  // Each touched peer has the deadline named here, and the others none.
  Ids settle(const std::map<std::uint32_t, Instant>& deadlines = {}) {
    Ids asked;
    peers.settle([&](const Peer& peer) {
      asked.push_back(peer.member.id);
      const auto it = deadlines.find(peer.member.id.value);
      return it == deadlines.end() ? kNever : it->second;
    });
    return asked;
  }

  const Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  PeerSet peers{rng};
};

TEST_F(PeerSetTest, AMemberIsSilentUntilSomethingFindsIt) {
  EXPECT_EQ(peers.member({3})->id, MemberId{3});
  EXPECT_EQ(peers.awake({3}), nullptr);
  EXPECT_TRUE(peers.find({3}).woke);
  EXPECT_FALSE(peers.find({3}).woke);
  EXPECT_NE(peers.awake({3}), nullptr);
  EXPECT_EQ(peers.find({9}).peer, nullptr) << "no member";
}

TEST_F(PeerSetTest, AKeyHasTheMemberThatGotItLastAndOneThatWasReplacedHasNone) {
  const auto give = [&](std::uint32_t id, const PublicKey& key) {
    peers.put(std::make_shared<const Member>(test::member_of(id, key)));
  };
  const PublicKey first = test::key_of(1), second = test::key_of(2);
  give(2, first);
  EXPECT_EQ(peers.owner_of(first), MemberId{2});
  give(2, second);
  EXPECT_EQ(peers.owner_of(first), std::nullopt);
  EXPECT_EQ(peers.owner_of(second), MemberId{2});
  give(3, second);
  EXPECT_EQ(peers.owner_of(second), MemberId{3});
  peers.erase({2});
  EXPECT_EQ(peers.owner_of(second), MemberId{3});
  peers.erase({3});
  EXPECT_EQ(peers.owner_of(second), std::nullopt);
}

TEST_F(PeerSetTest, OnlyTouchedPeersAreAskedForTheirDeadlineAndOnce) {
  find(4);
  find(3);
  find(4);
  EXPECT_EQ(settle({{3, now}, {4, now + seconds(1)}}), (Ids{{4}, {3}}));
  EXPECT_EQ(peers.next_deadline(), now);
  EXPECT_EQ(settle(), Ids{});
  EXPECT_EQ(peers.next_deadline(), now) << "untouched, it keeps its own";
}

TEST_F(PeerSetTest, TheDueAreThoseWhoseDeadlineHasCome) {
  for (const std::uint32_t id : {5, 4, 3}) find(id);
  settle({{3, now + seconds(2)}, {4, now + seconds(1)}, {5, now}});
  EXPECT_EQ(peers.due(now - seconds(1)), Ids{});
  EXPECT_EQ(peers.due(now + seconds(1)), (Ids{{4}, {5}}));
  find(5);
  settle({{5, now + seconds(9)}});
  EXPECT_EQ(peers.due(now + seconds(1)), Ids{{4}}) << "a new deadline replaces the old one";
}

TEST_F(PeerSetTest, APeerWithNothingToRememberIsSilentAgain) {
  find(3);
  find(4).needed_at = now;
  settle();
  EXPECT_EQ(peers.awake({3}), nullptr);
  EXPECT_NE(peers.awake({4}), nullptr) << "a frame waited for it";
  EXPECT_TRUE(peers.live().empty());
}

TEST_F(PeerSetTest, WhoHadASessionStaysMet) {
  PeersParams params;
  Counters counters;
  std::vector<std::string> notes;
  Sessions sessions(params, counters, notes, rng);
  Peer& peer = find(3);
  sessions.install(peer.sessions, test::session_of(true, now), now);
  settle({{3, now}});
  EXPECT_TRUE(peers.met().contains({3}));
  sessions.end(find(3).sessions);
  settle();
  EXPECT_TRUE(peers.met().contains({3}));
  EXPECT_FALSE(peers.live().contains({3}));
}

TEST_F(PeerSetTest, NothingOfAnErasedMemberStays) {
  find(3);
  settle({{3, now}});
  find(3);
  const PublicKey key = peers.member({3})->key;
  EXPECT_EQ(peers.owner_of(key), MemberId{3});
  peers.erase({3});
  EXPECT_EQ(settle(), Ids{}) << "it was touched in this step";
  EXPECT_EQ(peers.next_deadline(), kNever);
  EXPECT_EQ(peers.owner_of(key), std::nullopt);
  EXPECT_EQ(peers.find({3}).peer, nullptr);
}

TEST_F(PeerSetTest, AKeyThatAnotherMemberHasTakenStaysItsOwn) {
  Member heir = test::member_of(7);
  heir.key = peers.member({3})->key;
  peers.put(std::make_shared<const Member>(heir));
  peers.erase({3});
  EXPECT_EQ(peers.owner_of(heir.key), MemberId{7});
}

}  // namespace
}  // namespace eps::node
