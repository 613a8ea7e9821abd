// SPDX-License-Identifier: MIT
#include "node/peers.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "support/node_fakes.h"
#include "support/pages_touched.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::seconds;

// A client among this many others, all of them online and silent.
class PeersTest : public testing::Test {
 protected:
  PeersTest() : peers_(params(), out_, rng_) {}

  PeersParams params() {
    PeersParams out;
    out.self = crypto::generate_key_pair(rng_);
    out.aeads = {crypto::AeadKind::chacha20poly1305};
    return out;
  }
  Member member(std::uint32_t id) { return test::member_of(id, crypto::generate_key_pair(rng_).public_key); }
  void join(std::uint32_t others) {
    peers_.set_self({{}, *parse_ip4_network("10.0.0.0/8"), kDefaultMtu}, member(1), now_);
    Delta delta;
    delta.full = true;
    delta.to = 1;
    for (std::uint32_t id = 2; id < 2 + others; ++id) delta.upserts.push_back(member(id));
    ASSERT_TRUE(list_.apply(delta));
    peers_.update_members(list_, now_);
    // Without a server some sessions would be kept (mesh/anchors.h).
    peers_.set_relay({IpAddress::from_v4({0xc6120001U}), kDefaultPort}, 1, ServerRelay::udp, now_);
    settle();
  }
  std::size_t settle() {
    if (auto table = peers_.commit(now_)) table_ = std::move(table);
    return out_.take().datagrams.size();
  }
  void send_to(std::uint32_t id) {
    std::vector<dataplane::Upcall> upcalls;
    upcalls.emplace_back(dataplane::NeedSession{{id}, Bytes(60), {}});
    peers_.on_upcalls(std::move(upcalls), now_);
  }

  test::SeededRng rng_{1};
  test::QuietUdp port_;
  dataplane::Outbox out_{port_};
  Peers peers_;
  MemberList list_;
  std::shared_ptr<const dataplane::PeerTable> table_;
  Instant now_{std::chrono::hours(1)};
};

TEST_F(PeersTest, SilentMembersHaveNoTimer) {
  join(300);
  EXPECT_EQ(peers_.next_deadline(), kNever);
  ASSERT_TRUE(table_);
  EXPECT_EQ(table_->directory->online(), 300U);
}

TEST_F(PeersTest, ADropIsNoFindingAnyMoreOnceItsSourceIsAllowed) {
  join(1);
  Member self = member(1);
  std::vector<dataplane::Upcall> upcalls;
  upcalls.emplace_back(
      dataplane::FrameRefused{{}, {l2::Refusal::What::ip4, self.mac, *parse_ip("10.9.9.9"), l2::kEtherIp4}, {}});
  peers_.on_upcalls(std::move(upcalls), now_);
  ASSERT_EQ(peers_.findings(now_).size(), 1U);
  self.grants.ranges = {*parse_ip_network("10.9.9.9/32")};
  Delta delta;
  delta.from = 1;
  delta.to = 2;
  delta.upserts = {self};
  ASSERT_TRUE(list_.apply(delta));
  peers_.update_members(list_, now_, {}, {false, {{1}}});
  EXPECT_TRUE(peers_.findings(now_).empty());
}

// Workers wake up for a new table.
TEST_F(PeersTest, AStepThatChangesNothingForTheWorkersMakesNoTable) {
  join(10);
  EXPECT_EQ(peers_.commit(now_), nullptr);
  send_to(3);
  EXPECT_EQ(peers_.commit(now_), nullptr) << "an initiation has left, but there is no session yet";
  peers_.set_relay({IpAddress::from_v4({0xc6120001U}), kDefaultPort}, 1, ServerRelay::udp, now_);
  EXPECT_EQ(peers_.commit(now_), nullptr) << "the same relay";
  peers_.set_relay({IpAddress::from_v4({0xc6120002U}), kDefaultPort}, 1, ServerRelay::udp, now_);
  EXPECT_NE(peers_.commit(now_), nullptr);
  EXPECT_EQ(peers_.commit(now_), nullptr);
}

// The table that a step makes for the workers has the members that had a session, and the list arrives in parts.
TEST_F(PeersTest, AChangeOfOneMemberCostsTheSameInALargeNetwork) {
  for (const std::uint32_t n : {100U, 10'000U}) {
    now_ += seconds(1);
    list_ = {};
    join(n);
    Member moved = *list_.find({7});
    moved.candidates = {{Candidate::Kind::local, *parse_endpoint("10.9.9.9:1000")}};
    Delta delta;
    delta.from = 1;
    delta.to = 2;
    delta.upserts = {moved};
    delta.removed = {{8}};
    ASSERT_TRUE(list_.apply(delta));
    table_ = nullptr;
    KnownPeers known;
    known.look(list_, {}, now_);
    const auto timed = [&](const char* what, const MembersChanged& changed) {
      const auto began = std::chrono::steady_clock::now();
      peers_.update_members(list_, now_, {}, known.look(list_, {}, now_, changed));
      settle();
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
      if (std::getenv("EPS_SHOW_TIMES") != nullptr) std::printf("%5u members, %s: %.3f ms\n", n, what, took.count());
    };
    timed("those that changed", {false, {{7}, {8}}});
    const auto first = table_;
    timed("all", {true, {}});
    table_ = first;
    ASSERT_TRUE(table_);
    EXPECT_EQ(table_->peers.size(), 0U);
    EXPECT_EQ(table_->directory->online(), n - 1);
    EXPECT_EQ(peers_.status_of_met(now_).size(), 0U);
    EXPECT_EQ(peers_.status(now_).size(), n - 1);
  }
}

TEST_F(PeersTest, TheServersReturnCostsTheSameInALargeNetwork) {
  join(10'000);
  const auto pages = test::count_pages([&] {
    peers_.set_relay({IpAddress::from_v4({0xc6120001U}), kDefaultPort}, 2, ServerRelay::udp, now_);
  });
  if (!pages) GTEST_SKIP() << "this kernel does not tell which pages are touched";
  EXPECT_LT(*pages, 1000U) << "of 7,000 with peers";
}

TEST_F(PeersTest, ASilentMemberCostsLittleMoreThanItsRecord) {
  const auto used = [] {
    const auto now = ::mallinfo2();
    return now.uordblks + now.hblkhd;
  };
  if (used() == 0) GTEST_SKIP() << "a sanitizer allocates by itself";
  constexpr std::uint32_t n = 3000;
  const std::size_t before = used();
  join(n);
  EXPECT_LT((used() - before) / n, 1000U) << "bytes a member";
  // The workers mention each, but there is nothing to do.
  std::vector<dataplane::Upcall> upcalls;
  for (std::uint32_t id = 2; id < 2 + n; ++id) upcalls.emplace_back(dataplane::PeerWoke{{id}});
  peers_.on_upcalls(std::move(upcalls), now_);
  settle();
  EXPECT_GT((used() - before) / n, 2000U);
  while (peers_.next_deadline() != kNever) {
    now_ = peers_.next_deadline();
    peers_.on_deadline(now_);
    EXPECT_EQ(settle(), 0U);
  }
  EXPECT_LT((used() - before) / n, 1000U) << "they are silent again";
  // One that was tried is remembered, as that explains its state.
  send_to(7);
  settle();
  while (peers_.next_deadline() != kNever) {
    now_ = peers_.next_deadline();
    peers_.on_deadline(now_);
    settle();
  }
  EXPECT_NE(peers_.why("c7", now_)->peer.why_relayed.find("12 attempts"), std::string::npos);
  EXPECT_EQ(peers_.why("c8", now_)->peer.why_relayed.find("12 attempts"), std::string::npos);
}

// A full look finds what a partial one must be told.
TEST_F(PeersTest, UnnamedMembersAreNotExamined) {
  join(3);
  ASSERT_TRUE(list_.apply({.from = 1, .to = 2, .full = false, .upserts = {}, .removed = {{3}, {4}}}));
  peers_.update_members(list_, now_, {}, {false, {{4}}});
  EXPECT_EQ(peers_.status(now_).size(), 2U);
  peers_.update_members(list_, now_);
  EXPECT_EQ(peers_.status(now_).size(), 1U);
}

// As when this computer has left the LAN in which server and peer are.
TEST_F(PeersTest, APeerBesideTheServerIsTriedAtItsNewAddress) {
  join(1);
  Member beside = *list_.find({2});
  beside.candidates = {{Candidate::Kind::local, *parse_endpoint("192.168.1.5:5000")}};
  ASSERT_TRUE(list_.apply({.from = 1, .to = 2, .full = false, .upserts = {beside}, .removed = {}}));
  peers_.set_relay(*parse_endpoint("192.168.1.2:43439"), 1, ServerRelay::udp, now_);
  peers_.update_members(list_, now_);
  const auto knows = [&](const std::string& endpoint) {
    const auto ways = peers_.why("c2", now_)->ways;
    return std::ranges::any_of(ways,
                               [&](const WayStatus& w) { return w.way.direct() && to_string(w.way.to) == endpoint; });
  };
  EXPECT_FALSE(knows("198.18.0.9:5000"));
  peers_.set_relay(*parse_endpoint("198.18.0.9:43439"), 1, ServerRelay::udp, now_);
  EXPECT_TRUE(knows("198.18.0.9:5000"));
}

TEST_F(PeersTest, AHandshakeIsRepeatedOnTimeAndGivenUp) {
  join(300);
  send_to(7);
  EXPECT_EQ(settle(), 2U) << "to its one candidate and by the relay";
  EXPECT_LE(peers_.next_deadline(), now_ + kHandshakeRetry.front());
  int sent = 0;
  for (int i = 0; i < 1000 && peers_.next_deadline() != kNever; ++i) {
    now_ = peers_.next_deadline();
    peers_.on_deadline(now_);
    sent += static_cast<int>(settle());
  }
  EXPECT_EQ(sent, 2 * kHandshakeAttempts);
  EXPECT_EQ(peers_.next_deadline(), kNever);
}

TEST_F(PeersTest, OneStepServesAllDueDeadlines) {
  join(300);
  for (std::uint32_t id = 10; id < 20; ++id) send_to(id);
  EXPECT_EQ(settle(), 20U);
  now_ += kHandshakeRetry.front();
  peers_.on_deadline(now_);
  EXPECT_EQ(settle(), 20U);
  EXPECT_GT(peers_.next_deadline(), now_);
}

TEST_F(PeersTest, ARemovedMemberLeavesNoTimer) {
  join(3);
  send_to(3);
  settle();
  Delta delta;
  delta.from = 1;
  delta.to = 2;
  delta.removed = {{3}};
  ASSERT_TRUE(list_.apply(delta));
  peers_.update_members(list_, now_);
  settle();
  EXPECT_EQ(peers_.next_deadline(), kNever);
  EXPECT_EQ(table_->directory->online(), 2U);
  now_ += seconds(60);
  peers_.on_deadline(now_);
  EXPECT_EQ(settle(), 0U);
}

}  // namespace
}  // namespace eps::node
