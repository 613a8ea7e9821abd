// SPDX-License-Identifier: MIT
#include "node/server_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <list>

#include "control/client_connection.h"
#include "dataplane/relay.h"
#include "support/server_node_bed.h"
#include "wire/datagram.h"

namespace eps::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A member that may say what it wants.
struct TestMember {
  control::ConnId id = 0;
  std::optional<control::ClientConnection> connection;
  Bytes to_server, to_client;
  MemberId self;
  TrafficReport report;
  int lists = 0;  // changes of the list that it was told
  std::vector<std::string> limits;
};

class ServerNodeTest : public testing::Test, protected test::ServerNodeBed {
 protected:
  ServerNodeTest() : ServerNodeBed("10.0.0.0/24", {.version = "1", .relay_limit = *parse_relay_limit("64kbit")}) {}
  TestMember& join(const std::string& name) {
    TestMember& m = members_.emplace_back();
    m.id = members_.size();
    m.connection.emplace(
        control::ClientParams{crypto::generate_key_pair(rng_), control::network_key_of(*registry_), name, "1"},
        MemberList{}, rng_);
    take(node_->on_open(m.id, {IpAddress::from_v4({0xc6120000U + static_cast<std::uint32_t>(m.id)}), 4000}, now_));
    take(m, m.connection->start(now_));
    pass(seconds(1));
    EXPECT_NE(m.self.value, 0U);
    return m;
  }
  void take(ServerOutputs out) {
    for (auto& [id, bytes] : out.to_send) {
      for (TestMember& m : members_) {
        if (m.id == id) m.to_client.insert(m.to_client.end(), bytes.begin(), bytes.end());
      }
    }
    EXPECT_THAT(out.to_close, IsEmpty());
    notes_.insert(notes_.end(), out.notes.begin(), out.notes.end());
  }
  void take(TestMember& m, control::ClientConnection::Outputs out) {
    m.to_server.insert(m.to_server.end(), out.to_send.begin(), out.to_send.end());
    for (const control::ClientEvent& event : out.events) {
      if (std::holds_alternative<control::Proved>(event)) take(m, m.connection->say_hello({}, now_));
      if (const auto* welcome = std::get_if<control::Welcomed>(&event)) m.self = welcome->self.id;
      if (std::holds_alternative<control::ReportRequested>(event)) take(m, m.connection->report(m.report, now_));
      if (std::holds_alternative<control::ListChanged>(event)) ++m.lists;
      if (const auto* limited = std::get_if<control::RelayLimited>(&event)) m.limits.push_back(limited->limit);
    }
  }
  void deliver() {
    for (bool moved = true; moved;) {
      moved = false;
      for (TestMember& m : members_) {
        moved |= !m.to_server.empty() || !m.to_client.empty();
        if (const Bytes bytes = std::exchange(m.to_server, {}); !bytes.empty()) {
          take(node_->on_bytes(m.id, bytes, now_));
        }
        if (const Bytes bytes = std::exchange(m.to_client, {}); !bytes.empty()) {
          take(m, m.connection->on_bytes(bytes, now_));
        }
      }
    }
  }
  void pass(Duration time) {
    const Instant until = now_ + time;
    for (deliver(); now_ < until; deliver()) {
      now_ = std::min(until, std::max(now_ + milliseconds(1), node_->next_deadline()));
      if (now_ >= node_->next_deadline()) take(node_->on_deadline(now_));
      for (TestMember& m : members_) {
        if (now_ >= m.connection->next_deadline()) take(m, m.connection->on_deadline(now_));
      }
    }
  }
  const ServerMemberStatus& status(const TestMember& m) {
    status_ = node_->status(now_);
    return *std::ranges::find(status_.members, m.self, [](const auto& s) { return s.member.id; });
  }
  static std::vector<Candidate> at(std::uint16_t port) {
    return {{Candidate::Kind::local, {IpAddress::from_v4({0x0a010101U}), port}}};
  }

  std::list<TestMember> members_;
  std::vector<std::string> notes_;
  ServerStatus status_;
};

TEST_F(ServerNodeTest, ABindForTheRunBeforeIsExpectedAtFirst) {
  const Endpoint from{IpAddress::from_v4({0x0a010101U}), 7};
  const auto request = wire::make_bind_request({.member = {1}, .number = 1});
  const auto dropped = [&](const char* reason) {
    std::vector<dataplane::Upcall> upcalls;
    upcalls.emplace_back(dataplane::HandshakeDatagram{{from, 0, {}, {}}, Bytes(request.begin(), request.end())});
    take(node_->on_upcalls(upcalls, now_));
    return node_->status(now_).drops.contains(reason);
  };
  EXPECT_TRUE(dropped("expired"));
  EXPECT_FALSE(node_->status(now_).drops.contains("unauthorised"));
  now_ += dataplane::kRelayBegins;
  EXPECT_TRUE(dropped("unauthorised"));
}

TEST_F(ServerNodeTest, AMemberThatLiesAboutItsTrafficContradictsItsPartner) {
  TestMember& a = join("a");
  TestMember& b = join("b");
  PeerReport sent, received;
  sent.peer = b.self;
  sent.packets_sent = 100'000;
  sent.bytes_sent = 100'000'000;
  a.report.peers = {sent};
  received.peer = a.self;
  received.packets_received = 99'000;
  received.bytes_received = 99'000'000;
  b.report.peers = {received};
  const auto round = [&] {
    a.report.uptime += seconds(60);
    b.report.uptime += seconds(60);
    take(node_->request_reports(now_));
    pass(seconds(1));
  };
  a.report.uptime = b.report.uptime = seconds(0);
  round();
  for (int n = 0; n < 3; ++n) {
    b.report.peers[0].packets_received += 50'000;  // which a hides
    b.report.peers[0].bytes_received += 50'000'000;
    round();
  }
  EXPECT_THAT(notes_, Contains("The reports of a (" + to_string(registry_->find(a.self)->address) + ") and b (" +
                               to_string(registry_->find(b.self)->address) + ") contradict each other: b (" +
                               to_string(registry_->find(b.self)->address) +
                               ") received 50000 packets of the other lately, which reports 0 sent. Do not trust the "
                               "traffic figures of the two."));
  const auto pairs = node_->pairs();
  const auto of = [&](MemberId from) { return *std::ranges::find(pairs, from, &PairStatus::from); };
  EXPECT_TRUE(of(a.self).contradicts);
  EXPECT_FALSE(of(b.self).contradicts);
}

TEST_F(ServerNodeTest, AFloodOfCandidatesReachesTheOthersOnceASecond) {
  TestMember& a = join("a");
  TestMember& b = join("b");
  TestMember& c = join("c");
  pass(seconds(30));
  const int before = b.lists;
  std::uint16_t port = 1000;
  for (int ms = 0; ms < 20'000; ms += 10) {
    take(a, a.connection->announce(at(++port), now_));
    pass(milliseconds(10));
  }
  EXPECT_LE(b.lists - before, 60);
  EXPECT_GE(b.lists - before, 25);
  // Others are not held up, and the last state gets through.
  take(c, c.connection->announce(at(7), now_));
  pass(milliseconds(100));
  EXPECT_EQ(b.connection->members().find(c.self)->candidates[0].endpoint.port, 7);
  pass(seconds(1));
  const auto& seen = b.connection->members().find(a.self)->candidates;
  EXPECT_THAT(seen, Contains(at(port)[0]));
  EXPECT_THAT(notes_, Contains("a (" + to_string(registry_->find(a.self)->address) +
                               ") changes its endpoints all the time: the others hear of it once a second."));
  EXPECT_TRUE(status(a).floods);
  EXPECT_GT(status(a).endpoint_changes_held, 1900U);
  EXPECT_FALSE(status(c).floods);
  EXPECT_EQ(status(c).endpoint_changes_held, 0U);
}

TEST_F(ServerNodeTest, TheSameCandidatesAgainAreNoNews) {
  TestMember& a = join("a");
  TestMember& b = join("b");
  pass(seconds(30));
  take(a, a.connection->announce(at(1), now_));
  pass(seconds(1));
  const int before = b.lists;
  for (int n = 0; n < 100; ++n) {
    take(a, a.connection->announce(at(1), now_));
    pass(milliseconds(10));
  }
  EXPECT_EQ(b.lists, before);
  EXPECT_EQ(status(a).endpoint_changes_held, 0U);
}

TEST_F(ServerNodeTest, WhoIsRelayedTooMuchIsNamedAndTold) {
  TestMember& a = join("a");
  TestMember& b = join("b");
  dataplane::PublishedRelay::View view;
  const auto flood = [&] {
    const dataplane::RelayTable& table = published_.after(dataplane::Batch::receive(udp_, {}), view);
    for (int n = 0; n < 1000; ++n) (void)table.by_id(a.self)->quota->take(1000, now_);
    return table.by_id(a.self)->quota;
  };
  const auto quota = flood();
  ASSERT_TRUE(quota->begin_telling());
  take(node_->on_upcalls({dataplane::RelayLimited{a.self}}, now_));
  deliver();
  const std::string who = "a (" + to_string(registry_->find(a.self)->address) + ") sends more through this relay than ";
  EXPECT_THAT(notes_, Contains(who + "64kbit: the rest is dropped."));
  EXPECT_THAT(a.limits, testing::ElementsAre("64kbit"));
  EXPECT_THAT(b.limits, IsEmpty());
  EXPECT_GT(status(a).relay_limit_drops, 700U);
  EXPECT_TRUE(status(a).relay_limited);
  EXPECT_EQ(status(b).relay_limit_drops, 0U);
  flood();
  notes_.clear();
  for (int n = 0; n < 10; ++n) pass(seconds(7));  // the members' pings are answered meanwhile
  EXPECT_THAT(notes_, Contains(who + "64kbit: 1000 packets (1000000 bytes) were dropped within a minute."));
  EXPECT_EQ(a.limits.size(), 2U);
  notes_.clear();
  for (int n = 0; n < 10; ++n) pass(seconds(7));
  EXPECT_THAT(notes_, Not(Contains(HasSubstr("relay"))));
  EXPECT_FALSE(status(a).relay_limited);
  // A new limit holds for members that are connected.
  node_->set_relay_limit({});
  EXPECT_TRUE(quota->take(60'000, now_));
}

}  // namespace
}  // namespace eps::node
