// SPDX-License-Identifier: MIT
#include "node/anchors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "mesh/anchors.h"
#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Ids = std::vector<MemberId>;

class AnchorsTest : public testing::Test {
 protected:
  // Each is reachable, or behind a NAT.
  void members(std::uint32_t first, std::uint32_t last, bool reachable) {
    for (std::uint32_t id = first; id <= last; ++id) {
      Member member = test::member_of(id, crypto::generate_key_pair(rng).public_key);
      const IpAddress public_address = IpAddress::from_v4({0x08000000U + id});
      member.candidates = {{reachable ? Candidate::Kind::local : Candidate::Kind::observed, {public_address, 7000}}};
      peers.put(std::make_shared<const Member>(member));
    }
  }
  // At the time that was set.
  Ids choose() {
    now = std::max(now, anchors.next_deadline());
    return anchors.take_due({1}, peers, now).value();
  }

  Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  PeerSet peers{rng};
  Anchors anchors{rng};
};

TEST_F(AnchorsTest, AreChosenSomeSecondsAfterTheRelayIsGone) {
  members(2, 9, true);
  EXPECT_EQ(anchors.next_deadline(), kNever);
  anchors.set_relayed(false, peers, now);
  EXPECT_EQ(anchors.take_due({1}, peers, now), std::nullopt) << "a restarting server is back before";
  EXPECT_LE(anchors.next_deadline(), now + seconds(5));
  EXPECT_EQ(choose().size(), mesh::kAnchors);
  EXPECT_EQ(anchors.next_deadline(), now + seconds(10)) << "and then again";
  peers.find({2}).peer->kept = true;
  anchors.set_relayed(true, peers, now);
  EXPECT_FALSE(peers.awake({2})->kept);
  EXPECT_EQ(anchors.next_deadline(), kNever);
}

TEST_F(AnchorsTest, AreMembersThatCanBeReached) {
  members(2, 9, false);
  members(10, 11, true);
  anchors.set_relayed(false, peers, now);
  Ids chosen = choose();
  std::ranges::sort(chosen);
  EXPECT_EQ(chosen, (Ids{{10}, {11}}));
  peers.find({10}).peer->unreachable_at = now;
  EXPECT_EQ(choose(), Ids{{11}}) << "it did not answer";
  now += minutes(10);
  EXPECT_EQ(choose().size(), 2U) << "it may be there again";
}

TEST_F(AnchorsTest, OfALargeNetworkFollowFromTheMembersNumber) {
  members(2, 80, true);
  members(81, 82, false);
  anchors.set_relayed(false, peers, now);
  choose();
  const Peer& silent = *peers.find({81}).peer;
  EXPECT_EQ(anchors.of(silent, peers), mesh::anchors_of(
                                           {81},
                                           [] {
                                             Ids out;
                                             for (std::uint32_t id = 2; id <= 80; ++id) out.push_back({id});
                                             return out;
                                           }(),
                                           peers.members().size() + 1));
  EXPECT_EQ(anchors.of(*peers.find({5}).peer, peers), Ids{}) << "it can be asked itself";
}

TEST_F(AnchorsTest, OfASmallNetworkAreTheSameForAllAndNeedNoQuestion) {
  members(2, 9, true);
  members(10, 10, false);
  anchors.set_relayed(false, peers, now);
  choose();
  EXPECT_EQ(anchors.of(*peers.find({10}).peer, peers), Ids{});
}

TEST_F(AnchorsTest, AMemberBehindANatHasAPublicAddressWhenAPortIsForwarded) {
  Member member = test::member_of(2);
  const auto candidate = [](Candidate::Kind kind, const char* ip) { return Candidate{kind, {*parse_ip(ip), 7000}}; };
  member.candidates = {candidate(Candidate::Kind::local, "192.168.1.2"),
                       candidate(Candidate::Kind::observed, "8.8.8.8")};
  EXPECT_FALSE(has_public_address(member));
  member.candidates.push_back(candidate(Candidate::Kind::mapped, "8.8.8.8"));
  EXPECT_TRUE(has_public_address(member));
  member.candidates = {candidate(Candidate::Kind::local, "8.8.8.8")};
  EXPECT_TRUE(has_public_address(member));
  member.candidates = {candidate(Candidate::Kind::local, "127.0.0.1")};
  EXPECT_FALSE(has_public_address(member));
}

}  // namespace
}  // namespace eps::node
