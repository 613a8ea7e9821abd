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

// Messages cross the change in both directions, and the fixture cuts and delays them at random.
TEST_F(ControlTest, KeysChangeUnderLoadAndNothingIsLost) {
  TestClient& a = add("a");
  a.rekey_after = seconds(2);
  connect(a);
  TestClient& b = join("b");
  std::vector<Bytes> forth, back;
  for (std::uint32_t n = 0; n < 6000; ++n) {
    Bytes datagram(4 + n % 900);
    store_be32(datagram.data(), n);
    forth.push_back(datagram);
    back.push_back(datagram);
    take(a, a.connection->relay({datagram}, now_));
    take(server_->relay(a.self->id, {datagram}));
    if (n % 100 == 0)
      announce(b, {{Candidate::Kind::local, {IpAddress::from_v4({0x0a000001}), static_cast<std::uint16_t>(n + 1)}}});
    if (n % 3 == 0) advance(std::chrono::milliseconds(10));
  }
  run();
  ASSERT_TRUE(a.connected() && b.connected());
  EXPECT_GE(a.connection->rekeys(), 7U);
  EXPECT_EQ(b.connection->rekeys(), 0U);
  EXPECT_EQ(a.relayed, back);
  std::vector<Bytes> arrived;
  for (const auto& [member, datagrams] : relayed_) arrived.insert(arrived.end(), datagrams.begin(), datagrams.end());
  EXPECT_EQ(arrived, forth);
  advance(seconds(5));
  expect_all_agree();
}

TEST_F(ControlTest, KeysChangeByVolumeToo) {
  TestClient& a = add("a");
  a.rekey_after_bytes = 100'000;
  connect(a);
  for (int n = 0; n < 300; ++n) {
    if (n % 2 == 0) {
      take(a, a.connection->relay({Bytes(10'000)}, now_));
    } else {
      take(server_->relay(a.self->id, {Bytes(10'000)}));
    }
    advance(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(a.connected());
  EXPECT_GE(a.connection->rekeys(), 15U) << "of three million bytes";
  EXPECT_LE(a.connection->rekeys(), 30U) << "not more than one a second";
}

TEST_F(ControlTest, KeysChangeOnceAnHourWhereBothEndsCan) {
  TestClient& a = join("a");
  TestClient& old = add("old");
  old.features = Features{Feature::records};
  connect(old);
  advance(std::chrono::hours(10));
  EXPECT_GE(a.connection->rekeys(), 8U);
  EXPECT_LE(a.connection->rekeys(), 10U);
  EXPECT_EQ(old.connection->rekeys(), 0U);

  server_config_.features = Features{Feature::records};
  start_server();
  connect(a);
  advance(std::chrono::hours(10));
  EXPECT_TRUE(a.connected());
  EXPECT_EQ(a.connection->rekeys(), 0U) << "the server is old";
}

}  // namespace
}  // namespace eps::control
