// SPDX-License-Identifier: MIT

// The server's figures for each pair of members, compared with what was sent and what arrived.

#include <gtest/gtest.h>

#include "sim/seeds.h"
#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kClients = 3;
using Direction = std::pair<int, int>;

class Reports : public testing::TestWithParam<std::uint64_t> {
 protected:
  Reports() : world_({.seed = GetParam(), .clients = kClients}) {
    world_.network().weather = {
        .delay = milliseconds(30), .jitter = milliseconds(40), .loss = 0.1, .duplication = 0.05};
    world_.on_delivered = [this](int from, int to, std::uint64_t) { ++arrived_[{from, to}]; };
    for (int c = 0; c < kClients; ++c) world_.start_client(c);
    EXPECT_TRUE(world_.run_until([&] { return world_.all_admitted(); }, seconds(20)));
    EXPECT_TRUE(world_.everybody_talks(seconds(30)));
  }

  // The present figures of every pair.
  std::map<Direction, PairStatus> ask() {
    world_.run_for(seconds(1));  // nothing is in transit
    world_.request_reports();
    world_.run_for(seconds(2));
    std::map<Direction, PairStatus> out;
    for (const PairStatus& p : world_.server().status(world_.clock().now()).pairs) {
      const auto number = [&](MemberId id) { return std::stoi(world_.registry().find(id)->name.substr(1)); };
      out[{number(p.from), number(p.to)}] = p;
    }
    return out;
  }
  void send(int frames) {
    for (int i = 0; i < frames; ++i) {
      const int from = static_cast<int>(world_.rng().below(kClients));
      const int to = (from + 1 + static_cast<int>(world_.rng().below(kClients - 1))) % kClients;
      world_.send_frame(from, to, 60 + world_.rng().below(1000));
      ++sent_[{from, to}];
      world_.run_for(milliseconds(10));
    }
  }
  // Between the two snapshots exactly the frames that were sent and that arrived were counted.
  void expect_exact(const std::map<Direction, PairStatus>& before, const std::map<Direction, PairStatus>& after) {
    std::uint64_t lost = 0;
    for (const auto& [pair, now] : after) {
      const PairStatus was = before.contains(pair) ? before.at(pair) : PairStatus{};
      EXPECT_EQ(now.packets_sent - was.packets_sent, sent_[pair]) << pair.first << " to " << pair.second;
      EXPECT_EQ(now.packets_received - was.packets_received, arrived_[pair]) << pair.first << " to " << pair.second;
      lost += sent_[pair] - arrived_[pair];
    }
    EXPECT_GT(lost, 0U) << "a tenth of them, more or less";
    sent_.clear();
    arrived_.clear();
  }

  World world_;
  std::map<Direction, std::uint64_t> sent_, arrived_;
};

TEST_P(Reports, PairsMatchWhatWasSentAndWhatArrived) {
  auto before = ask();
  arrived_.clear();
  send(300);
  auto after = ask();
  ASSERT_EQ(after.size(), 6U);
  expect_exact(before, after);
}

TEST_P(Reports, TheyContinueWhenAMemberRestarts) {
  ask();
  world_.stop_client(0);
  world_.start_client(0);
  ASSERT_TRUE(world_.run_until([&] { return world_.all_admitted(); }, seconds(30)));
  ASSERT_TRUE(world_.everybody_talks(seconds(30)));
  const auto before = ask();
  arrived_.clear();
  send(200);
  expect_exact(before, ask());
}

TEST_P(Reports, TheyRestartWithTheServer) {
  send(100);
  ask();
  world_.stop_server();
  world_.start_server();
  ASSERT_TRUE(world_.run_until([&] { return world_.all_admitted(); }, seconds(60)));
  // The first answer only gives the starting point.
  for (const auto& [pair, status] : ask()) EXPECT_EQ(status.packets_sent, 0U);
  sent_.clear();
  arrived_.clear();
  send(200);
  expect_exact({}, ask());
}

// Its session would keep the path for two more minutes.
TEST_P(Reports, AMemberThatWasStoppedHasNoPath) {
  world_.network().weather = {};
  ASSERT_TRUE(world_.run_until([&] { return world_.all_direct(); }, seconds(60)));
  world_.stop_client(2);
  const auto of = [&](int from) {
    for (const PeerStatus& peer : world_.client(from).status(world_.clock().now()).peers) {
      if (peer.member.name == "c2") return peer;
    }
    return PeerStatus{};
  };
  // From the moment that the server's list says so.
  ASSERT_TRUE(world_.run_until([&] { return !of(0).member.online && !of(1).member.online; }, seconds(60)));
  world_.run_for(seconds(6));
  for (const int from : {0, 1}) {
    EXPECT_EQ(of(from).path, PathKind::none);
    EXPECT_EQ(of(from).why_relayed, "It is not connected to the server, and it does not answer.");
  }
}

TEST_P(Reports, AMemberWithoutServerKeepsThePathByWhichItAnswers) {
  world_.network().weather = {};
  ASSERT_TRUE(world_.run_until([&] { return world_.all_direct(); }, seconds(60)));
  world_.partition(2, kServer, true);
  const auto online = [&] { return world_.registry().find_name("c2")->online; };
  ASSERT_TRUE(world_.run_until([&] { return !online(); }, seconds(60)));
  for (int i = 0; i < 20; ++i) {
    world_.run_for(seconds(1));
    if (world_.path(0, 2) != PathKind::direct) break;
  }
  EXPECT_EQ(world_.path(0, 2), PathKind::direct);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Reports, testing::ValuesIn(seeds()), seed_name);

}  // namespace
}  // namespace eps::sim
