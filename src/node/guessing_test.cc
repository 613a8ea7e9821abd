// SPDX-License-Identifier: MIT
#include "node/guessing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using mesh::PortGuess;
using std::chrono::milliseconds;
using std::chrono::seconds;
using enum Guessing::Asked;

// A peer that has been searched for without success for half a second, behind a NAT with one known port.
struct Sought {
  Sought(std::uint32_t number, Rng& rng, Instant now) : id{number}, path(rng) {
    path.set_candidates({{Candidate::Kind::observed, at}}, {}, now - milliseconds(500), true);
    path.begin(now - milliseconds(500));
  }
  MemberId id;
  Endpoint at{IpAddress::from_v4({0xc6120000U + id.value}), 7000};
  mesh::PathFinder path;
  Guessing::Record record;
  NatMapping nat = NatMapping::per_destination;
  bool session = true;
  Guessing::Target target() { return {id, record, path, session, nat, at}; }
};

class GuessingTest : public testing::Test {
 protected:
  bool consider(Sought& to, NatMapping own = NatMapping::independent, Guessing::Asked asked = no) {
    return guessing.consider(to.target(), own, own_candidates, asked, now);
  }
  // Runs until the burst is over or ends for another reason; returns what was sent.
  std::vector<mesh::Ping> run(Sought& to) {
    std::vector<mesh::Ping> sent;
    while (guessing.runs_for(to.id)) {
      now = std::max(now, guessing.next_deadline(to.id));
      const auto pings = guessing.run(to.target(), 0, now);
      sent.insert(sent.end(), pings.begin(), pings.end());
      close();
    }
    return sent;
  }
  void close() {
    for (const ports::SocketId side : out.take().closed_sides) port.close_side(side);
  }

  Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  test::QuietUdp port;
  dataplane::Outbox out{port};
  Guessing guessing{out, rng};
  std::vector<Candidate> own_candidates;
  Sought peer{2, rng, now};
};

TEST_F(GuessingTest, PlainProbesAndASessionComeFirst) {
  Sought fresh{3, rng, now + milliseconds(400)};  // the search started 0.1 s ago
  EXPECT_FALSE(consider(fresh));
  peer.session = false;
  EXPECT_FALSE(consider(peer));
  peer.session = true;
  peer.nat = NatMapping::independent;
  EXPECT_FALSE(consider(peer)) << "neither NAT is hard";
  peer.nat = NatMapping::per_destination;
  EXPECT_TRUE(consider(peer));
}

TEST_F(GuessingTest, PortsAreGuessedAtThePeersAddressOnly) {
  ASSERT_TRUE(consider(peer));
  EXPECT_TRUE(port.open.empty()) << "this side needs no more sockets";
  const auto pings = run(peer);
  EXPECT_EQ(pings.size(), PortGuess::kMaxGuesses);
  EXPECT_TRUE(std::ranges::all_of(pings, [&](const auto& p) { return p.way.to.ip == peer.at.ip; }));
  EXPECT_TRUE(std::ranges::any_of(pings, [&](const auto& p) { return p.way.to.port == peer.at.port + 1; }));
}

TEST_F(GuessingTest, BehindAHardNatItSendsFromManySocketsAndClosesThem) {
  peer.nat = NatMapping::independent;
  ASSERT_TRUE(consider(peer, NatMapping::per_destination));
  EXPECT_EQ(port.open.size(), PortGuess::kSockets);
  const auto pings = run(peer);
  EXPECT_EQ(pings.size() % PortGuess::kSockets, 0U);
  EXPECT_TRUE(std::ranges::all_of(pings, [&](const auto& p) { return p.way.to == peer.at && p.way.socket != 0; }));
  EXPECT_TRUE(port.open.empty());
}

TEST_F(GuessingTest, TheSocketThatHitStays) {
  peer.nat = NatMapping::independent;
  ASSERT_TRUE(consider(peer, NatMapping::per_destination));
  const auto pings = guessing.run(peer.target(), 0, now);
  ASSERT_FALSE(pings.empty());
  EXPECT_TRUE(guessing.asked(peer.id, pings[7].id));
  EXPECT_FALSE(guessing.asked({9}, pings[7].id));
  peer.path.adopt(pings[7].way, std::nullopt, now);
  EXPECT_TRUE(run(peer).empty());
  EXPECT_EQ(port.open, std::set<ports::SocketId>{pings[7].way.socket});
  // Until its session ends.
  peer.session = false;
  peer.path.reset(now);
  guessing.tidy(peer.target(), now);
  close();
  EXPECT_TRUE(port.open.empty());
}

TEST_F(GuessingTest, OneBurstAtATime) {
  Sought other{3, rng, now};
  ASSERT_TRUE(consider(peer));
  EXPECT_FALSE(consider(other));
  guessing.stop(other.target(), now);
  EXPECT_TRUE(guessing.runs_for(peer.id)) << "that of another peer continues";
  guessing.stop(peer.target(), now);
  EXPECT_EQ(guessing.next_deadline(peer.id), kNever);
  EXPECT_TRUE(consider(other));
}

TEST_F(GuessingTest, PausesGrowAfterFailedBursts) {
  const Instant first = now;
  ASSERT_TRUE(consider(peer));
  run(peer);
  EXPECT_FALSE(consider(peer));
  now = first + seconds(8);
  ASSERT_TRUE(consider(peer));
  run(peer);
  now += seconds(30);
  EXPECT_FALSE(consider(peer));
}

TEST_F(GuessingTest, AReplacedNatEndsThePauses) {
  ASSERT_TRUE(consider(peer));
  guessing.stop(peer.target(), now);
  EXPECT_FALSE(consider(peer));
  peer.record.forgive();
  EXPECT_TRUE(consider(peer));
}

TEST_F(GuessingTest, APeersBurstIsJoinedAtOnceButNotTwiceInARow) {
  Sought fresh{3, rng, now + milliseconds(500)};
  ASSERT_TRUE(consider(fresh, NatMapping::independent, by_the_peer));
  guessing.stop(fresh.target(), now);
  EXPECT_FALSE(consider(fresh, NatMapping::independent, by_the_peer));
}

TEST_F(GuessingTest, NothingIsGuessedBehindOneRouter) {
  own_candidates = {{Candidate::Kind::observed, {peer.at.ip, 9}}};
  EXPECT_FALSE(consider(peer));
}

}  // namespace
}  // namespace eps::node
