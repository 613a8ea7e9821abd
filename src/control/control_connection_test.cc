// SPDX-License-Identifier: MIT

// An established connection: it relays, is kept alive, is given up when the other end is silent, and carries reports.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_fixture.h"

namespace eps::control {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

TEST_F(ControlTest, RelaysInsideTheConnection) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  const MemberId id = a.self->id;
  EXPECT_EQ(server_->connection_of(id), a.id);
  EXPECT_EQ(server_->member_of(a.id), id);
  take(a, a.connection->relay_here(true, now_));
  take(a, a.connection->relay({Bytes(100), Bytes(1500)}, now_));
  run();
  EXPECT_EQ(relay_here_, (std::vector<std::pair<MemberId, bool>>{{id, true}}));
  ASSERT_EQ(relayed_.size(), 1U);
  EXPECT_EQ(relayed_[0].first, id);
  EXPECT_EQ(relayed_[0].second, std::vector({Bytes(100), Bytes(1500)}));
  take(server_->relay(id, {Bytes(7)}));
  run();
  EXPECT_EQ(a.relayed, std::vector({Bytes(7)}));
  EXPECT_TRUE(b.relayed.empty());
  hang_up(a);
  take(server_->relay(id, {Bytes(7)}));
  EXPECT_EQ(server_->connection_of(id), std::nullopt);
}

TEST_F(ControlTest, AnIdleConnectionIsKeptAliveWithFewBytes) {
  TestClient& a = join("a");
  advance(seconds(1));
  const std::size_t before = messages_sent_;
  advance(std::chrono::minutes(10));
  EXPECT_TRUE(a.connected());
  EXPECT_LE(messages_sent_ - before, 41U) << "one pong every 15 seconds";
}

TEST_F(ControlTest, ASilentServerIsGivenUp) {
  TestClient& a = join("a");
  const Instant from = now_;
  while (a.connected()) {
    now_ = a.connection->next_deadline();
    take(a, a.connection->on_deadline(now_));
    a.to_server.clear();
  }
  EXPECT_EQ(now_ - from, kDeadAfter);
  EXPECT_TRUE(a.refused->retry);
  EXPECT_THAT(a.refused->sentence, HasSubstr("35 seconds"));
}

TEST_F(ControlTest, SendingWithoutReceivingDoesNotMakeTheServerSeemDead) {
  TestClient& a = join("a");
  for (int i = 0; i < 20; ++i) {
    take(a, a.connection->relay({Bytes(100)}, now_));
    advance(seconds(5));
  }
  EXPECT_TRUE(a.connected());
}

TEST_F(ControlTest, ASilentClientIsGoneAfterAWhile) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  const ConnId id = a.id;
  const MemberId member = a.self->id;
  a.connection.reset();  // its computer was switched off: not even a FIN
  advance(seconds(41));
  EXPECT_TRUE(was_closed(id));
  EXPECT_FALSE(b.members().find(member)->online);
  EXPECT_EQ(count(ServerEvent::Kind::left), 1U);
  EXPECT_TRUE(b.connected());
}

TEST_F(ControlTest, MembersReportTheirTrafficWhenAsked) {
  TestClient &a = join("a"), &b = join("b");
  a.report = {std::chrono::seconds(9), {{b.self->id, 5, 500, 4, 400, PathKind::relayed, {}, "no way"}}};
  take(server_->request_reports(now_));
  run();
  ASSERT_EQ(reports_.size(), 2U);
  for (const auto& [from, report] : reports_) EXPECT_EQ(report, from == a.self->id ? a.report : TrafficReport{});

  take(a, a.connection->report(a.report, now_));
  run();
  EXPECT_EQ(reports_.size(), 2U) << "nobody asked";
  hang_up(b);
  take(server_->request_reports(now_));
  run();
  EXPECT_EQ(reports_.size(), 3U);
}

TEST_F(ControlTest, AReportThatIsTooLongIsCut) {
  TestClient& a = join("a");
  for (std::uint32_t i = 1; i <= kMaxPeersPerReport + 50; ++i) {
    a.report.peers.push_back({{i}, 1, i, 1, 1, PathKind::direct, {}, std::string(200, 'r')});
  }
  take(server_->request_reports(now_));
  run();
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0].second.peers.size(), kMaxPeersPerReport);
  for (const PeerReport& peer : reports_[0].second.peers) {
    EXPECT_GT(peer.peer.value, 50U) << "the busiest stay";
    EXPECT_EQ(peer.reason.size(), kMaxReasonSize);
  }
  EXPECT_TRUE(a.connected());
}

}  // namespace
}  // namespace eps::control
