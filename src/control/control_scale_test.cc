// SPDX-License-Identifier: MIT

// What limits the cost of a large network: a return costs only what changed, states go to those who need them, joins
// are written together, and clients that arrive under overload are told when to come back.

#include <gtest/gtest.h>

#include "control/control_fixture.h"

namespace eps::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ControlScale : public ControlTest {
 protected:
  ControlScale() {
    config_.network = *parse_ip4_network("10.0.0.0/16");
    server_config_.tell_all = 8;
    server_config_.admissions_at_once = 5;
    start_server();
  }
  // Enrolled members that are not connected.
  void enrol(std::uint32_t n) {
    std::vector<registry::JoinRequest> all;
    for (std::uint32_t i = 1; i <= n; ++i) {
      PublicKey key;
      store_be32(key.bytes.data(), i);
      registry::JoinRequest request{key, "m" + std::to_string(i), "0.2.0"};
      request.join_key = registry::kNetworkKeyId;
      all.push_back(std::move(request));
    }
    for (const auto& joined : registry_->join_all(all)) ASSERT_TRUE(std::holds_alternative<Member>(joined));
  }
  bool holds_all(const TestClient& c) const {
    return registry::MerkleTree(c.members().members()).root() == registry_->root() &&
           c.members().version() == registry_->records_version();
  }
};

TEST_F(ControlScale, AReturnAfterARestartOfTheServerCostsNoList) {
  enrol(1000);
  TestClient& a = join("a");
  advance(seconds(1));
  EXPECT_GT(sent_[a.id].size(), 50'000U) << "the whole list, once";
  start_server();
  connect(a);
  EXPECT_LT(sent_[a.id].size(), 1000U) << "nothing has changed";
  EXPECT_TRUE(holds_all(a));
  // Others have changed by the time it returns.
  hang_up(a);
  start_server();
  join("b");
  ASSERT_TRUE(registry_->remove("m7"));
  connect(a);
  EXPECT_LT(sent_[a.id].size(), 1200U) << "one record and one removal";
  EXPECT_EQ(a.members().find_name("m7"), nullptr);
  advance(seconds(1));
  EXPECT_TRUE(holds_all(a));
}

TEST_F(ControlScale, AClientOfTheOlderVersionIsServedAsBefore) {
  TestClient& a = join("a");
  TestClient& old = add("old");
  old.features = {};
  connect(old);
  TestClient& b = join("b");
  advance(seconds(1));
  announce(b, {{Candidate::Kind::local, *parse_endpoint("10.9.9.9:1000")}});
  advance(seconds(1));
  EXPECT_EQ(old.members().find(b.self->id)->candidates.size(), 1U);
  expect_all_agree();
  // Its program is updated while the server keeps running, and later downgraded again.
  for (const Features features : {kOwnFeatures, Features{}}) {
    hang_up(old);
    old.features = features;
    connect(old);
    advance(seconds(1));
    EXPECT_TRUE(old.connected());
    EXPECT_EQ(old.members().members(), registry_->members());
  }
  EXPECT_FALSE(a.refused);
}

TEST_F(ControlScale, InALargeNetworkStatesAreSentOnRequest) {
  for (std::size_t n = 0; n <= 9; ++n) now_ += seconds(1), join("h" + std::to_string(n));
  TestClient& a = join("a");
  TestClient& b = join("b");
  advance(seconds(5));
  const auto& seen = [&](TestClient& by) { return *by.members().find(b.self->id); };
  EXPECT_TRUE(seen(a).online);
  announce(b, {{Candidate::Kind::local, *parse_endpoint("10.9.9.9:1000")}});
  advance(seconds(5));
  EXPECT_TRUE(seen(a).candidates.empty()) << "nobody asked";
  take(a, a.connection->want(std::vector{b.self->id}));
  run();
  EXPECT_EQ(seen(a).candidates.size(), 1U) << "at once";
  EXPECT_EQ(seen(a).version, "0.1.0");
  announce(b, {});
  advance(kPushPause);
  EXPECT_TRUE(seen(a).candidates.empty()) << "and whenever it changes";
  hang_up(b);
  advance(kPushPause);
  EXPECT_FALSE(seen(a).online);
  advance(seconds(5));
  for (TestClient& c : clients_) {
    EXPECT_FALSE(c.connected() && seen(c).online) << "everybody sees who is online";
  }
  // The network is small again: everybody is told everything.
  std::size_t left = 6;
  for (TestClient& c : clients_) {
    if (left == 0) break;
    if (&c == &a || &c == &b) continue;
    hang_up(c);
    --left;
  }
  advance(seconds(5));
  expect_all_agree();
}

TEST_F(ControlScale, JoinsThatComeTogetherAreWrittenTogether) {
  std::vector<TestClient*> all;
  server_config_.admissions_at_once = kAdmissionsAtOnce;
  server_config_.tell_all = kTellAll;
  start_server();
  for (int n = 0; n < 50; ++n) all.push_back(&add("h"));
  const int before = store_.commits;
  for (TestClient* c : all) open(*c);
  run();
  advance(kGatherJoins);
  for (TestClient* c : all) EXPECT_TRUE(c->self) << "admitted";
  EXPECT_LE(store_.commits - before, 2);
  advance(seconds(1));
  expect_all_agree();
}

TEST_F(ControlScale, ContinuousChangesAreGathered) {
  server_config_.admissions_at_once = kAdmissionsAtOnce;
  server_config_.tell_all = kTellAll;
  start_server();
  for (int n = 0; n < 50; ++n) join("h" + std::to_string(n));
  advance(seconds(5));
  const TestClient& a = clients_.front();
  auto next = clients_.begin();
  const auto change = [&](std::uint16_t port) {  // of one after the other: those of one member are few
    if (++next == clients_.end()) next = std::next(clients_.begin());
    announce(*next, {{Candidate::Kind::local, {IpAddress::from_v4({0x0a090909U}), port}}});
  };
  const int before = a.lists;
  change(1000);
  EXPECT_EQ(a.lists, before + 1) << "at once after a quiet time";
  for (std::uint16_t n = 0; n < 100; ++n) {
    advance(milliseconds(20));
    change(static_cast<std::uint16_t>(1001 + n));
  }
  advance(kMaxGather);
  EXPECT_LE(a.lists - before, 12) << "and not 101";
  expect_all_agree();
  advance(kCalm);
  const int then = a.lists;
  change(2000);
  EXPECT_EQ(a.lists, then + 1);
}

TEST_F(ControlScale, MembersAreAskedForReportsInSteps) {
  server_config_.admissions_at_once = kAdmissionsAtOnce;
  server_config_.tell_all = kTellAll;
  start_server();
  const std::size_t all = kPushStep + 10;
  for (std::size_t n = 0; n < all; ++n) open(add("h"));
  run();
  advance(seconds(1));
  std::size_t asked = 0;
  for (auto out = server_->request_reports(now_);; out = server_->on_deadline(now_)) {
    EXPECT_LE(out.to_send.size(), kPushStep) << "others get their turn in between";
    asked += out.to_send.size();
    take(std::move(out));
    if (server_->next_deadline() > now_) break;
  }
  EXPECT_EQ(asked, all);
  run();
  EXPECT_EQ(reports_.size(), all);
}

TEST_F(ControlScale, OverloadedServerSaysWhenToComeBack) {
  TestClient& a = join("a");
  for (int n = 0; n < 6; ++n) connect(a);
  ASSERT_TRUE(a.refused && a.refused->come_back);
  const Duration pause = *a.refused->come_back;
  EXPECT_GT(pause, Duration::zero());
  EXPECT_TRUE(a.refused->retry);
  now_ += pause + kPerAdmission;
  connect(a);
  EXPECT_TRUE(a.connected() && a.self);
}

}  // namespace
}  // namespace eps::control
