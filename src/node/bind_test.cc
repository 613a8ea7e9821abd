// SPDX-License-Identifier: MIT
#include "node/bind.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/primitives.h"
#include "wire/datagram.h"

namespace eps::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Endpoint kServer4{*parse_ip("192.0.2.1"), 43439};
const Endpoint kServer6{*parse_ip("2001:db8::1"), 43439};

// Sends to a server; each path to it can be blocked.
class Lab final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const auto& d : datagrams) {
      const auto request = wire::parse_bind_request(d.bytes);
      if (request && !barred(d)) requests.push_back({d.to, d.socket, *request});
    }
    return datagrams.size();
  }
  std::optional<Side> open_side() override {
    ++open_sides;
    const auto socket = static_cast<ports::SocketId>(++last_socket);
    return Side{socket, static_cast<std::uint16_t>(20000 + socket)};
  }
  void close_side(ports::SocketId) override { --open_sides; }

  struct Request {
    Endpoint to;
    ports::SocketId socket;
    wire::BindRequest request;
  };
  std::vector<Request> requests;
  std::function<bool(const ports::TxDatagram&)> barred = [](const auto&) { return false; };
  int open_sides = 0;
  int last_socket = 0;
};

class BindTest : public testing::Test {
 protected:
  BindTest() { std::ranges::fill(key.writable(), std::byte{5}); }
  // Runs for this long; every request that gets through is answered at once.
  void run(Duration time) {
    for (const Instant ends = now + time; now < ends; now += milliseconds(10)) {
      bind.on_deadline(now);
      execute();
      for (const auto& r : std::exchange(lab.requests, {})) answer(r);
    }
  }
  void answer(const Lab::Request& r) {
    if (!r.request.observe_only) bound_at = {r.to, r.socket};
    const bool v4 = r.to.ip.is_v4();
    const Endpoint observed{*parse_ip(v4 ? "198.51.100.7" : "2001:db8::7"),
                            static_cast<std::uint16_t>(5000 + r.socket)};
    wire::BindReply answer{r.request.member, r.request.number, observed, second_port};
    if (wants_echo) answer.echo = 1000 + r.socket;
    auto reply = wire::make_bind_reply(answer);
    const auto mac = crypto::mac16(key.view(), {ByteView(reply).first(reply.size() - wire::kMacSize)});
    std::ranges::copy(mac, reply.end() - wire::kMacSize);
    EXPECT_TRUE(bind.on_reply(r.to, r.socket, reply, now));
  }
  // The effects of the step.
  void execute() {
    const dataplane::Commit commit = out.take();
    for (const auto& d : commit.datagrams) {
      const ports::TxDatagram tx{d.to, d.bytes, d.segment_size, d.socket};
      lab.send({&tx, 1});
    }
    for (const ports::SocketId side : commit.closed_sides) lab.close_side(side);
    for (const ports::SocketId side : bind.take_left()) lab.close_side(side);
  }
  Lab lab;
  dataplane::Outbox out{lab};
  Bind bind{out};
  crypto::Key key;
  Instant now{seconds(100)};
  std::pair<Endpoint, ports::SocketId> bound_at;
  bool wants_echo = false;
  std::uint16_t second_port = 0;
};

TEST_F(BindTest, BindsInTheOtherFamilyWhenUdpIsBlockedInThatOfTheConnection) {
  lab.barred = [](const ports::TxDatagram& d) { return d.to == kServer6; };
  bind.begin({3}, key.clone(), kServer6, kServer4, now);
  run(milliseconds(1500));
  EXPECT_TRUE(bind.bound());
  EXPECT_EQ(bind.server(), kServer4);
  EXPECT_EQ(bound_at.first, kServer4) << "not only observed";
  EXPECT_EQ(lab.open_sides, 0);
  run(seconds(60));
  EXPECT_TRUE(bind.bound());
}

TEST_F(BindTest, ChangesTheFamilyEachTimeTheFirewallDoes) {
  Endpoint blocked = kServer4;
  lab.barred = [&blocked](const ports::TxDatagram& d) { return d.to == blocked; };
  bind.begin({3}, key.clone(), kServer6, kServer4, now);
  run(seconds(30));
  for (const auto& [now_blocked, open] : {std::pair(kServer6, kServer4), std::pair(kServer4, kServer6)}) {
    ASSERT_EQ(bind.server(), now_blocked);
    blocked = now_blocked;
    bind.verify(now);
    run(seconds(7));
    EXPECT_TRUE(bind.bound());
    EXPECT_EQ(bind.server(), open);
    EXPECT_EQ(bound_at.first, open);
    run(seconds(30));
  }
}

TEST_F(BindTest, UsesAnotherSocketWhenAFirewallEndsTheFlowOfTheFirst) {
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(1));
  ASSERT_TRUE(bind.bound());
  for (ports::SocketId dead = 0; dead < 3; ++dead) {
    lab.barred = [dead](const ports::TxDatagram& d) { return d.socket <= dead; };
    bind.verify(now + kBindVerifyPause);
    run(kBindVerifyPause + seconds(3));
    EXPECT_TRUE(bind.bound());
    EXPECT_EQ(bind.socket(), dead + 1);
    EXPECT_EQ(bound_at.second, dead + 1);
    EXPECT_EQ(bind.observed()->port, 5000 + dead + 1);
    execute();
    EXPECT_EQ(lab.open_sides, 1) << "the one before is closed";
  }
  bind.refresh(now);
  execute();
  EXPECT_EQ(bind.socket(), 0);
  EXPECT_EQ(lab.open_sides, 0);
}

TEST_F(BindTest, VerificationFindsAnOutageWithinTwoSeconds) {
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(10));
  lab.barred = [](const ports::TxDatagram&) { return true; };
  const Instant died = now;
  while (!bind.lost() && now - died < seconds(5)) {
    bind.verify(now);
    run(milliseconds(10));
  }
  EXPECT_LT(now - died, seconds(2));
}

TEST_F(BindTest, VerificationTakesNeitherLossNorASlowPathForAnOutage) {
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(1));
  int passed = 0;
  lab.barred = [&](const ports::TxDatagram&) { return ++passed % kBoundLost != 0; };
  for (int i = 0; i < 1000; ++i) {
    bind.verify(now);
    run(milliseconds(10));
    ASSERT_FALSE(bind.lost()) << "every eighth request arrives";
  }
  lab.barred = [](const ports::TxDatagram&) { return false; };
  std::vector<std::pair<Instant, Lab::Request>> underway;
  int lost = 0;
  for (int i = 0; i < 1000; ++i) {
    bind.verify(now);
    bind.on_deadline(now);
    execute();
    for (const auto& r : std::exchange(lab.requests, {})) underway.emplace_back(now + milliseconds(1500), r);
    while (!underway.empty() && underway.front().first <= now) {
      answer(underway.front().second);
      underway.erase(underway.begin());
    }
    if (i > 200) lost += bind.lost();
    now += milliseconds(10);
  }
  EXPECT_EQ(lost, 0) << "answers take 1.5 s";
}

TEST_F(BindTest, ClassifiesTheNatDespiteLossAndAgainForAnotherSocket) {
  second_port = 43440;
  lab.barred = [&](const ports::TxDatagram& d) { return d.to.port == second_port; };
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(60));
  EXPECT_EQ(bind.nat().mapping, NatMapping::unknown);
  lab.barred = [](const ports::TxDatagram&) { return false; };
  run(kMaxNatTestPause);
  EXPECT_EQ(bind.nat().mapping, NatMapping::independent);
  lab.barred = [](const ports::TxDatagram& d) { return d.socket == 0; };
  run(seconds(30));
  ASSERT_EQ(bind.socket(), 1);
  EXPECT_EQ(bind.nat().mapping, NatMapping::independent);
}

TEST_F(BindTest, RenewalMovesToAnotherSocketOnceItIsAnswered) {
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(1));
  for (const ports::SocketId next : {1, 2}) {
    bind.renew(now);
    run(milliseconds(50));
    EXPECT_TRUE(bind.bound());
    EXPECT_EQ(bind.socket(), next);
    EXPECT_EQ(lab.open_sides, 1);
  }
  lab.barred = [](const ports::TxDatagram& d) { return d.socket == 3; };
  bind.renew(now);
  for (int i = 0; i < 100; ++i) {
    run(milliseconds(100));
    EXPECT_TRUE(bind.bound()) << "the one in use works";
  }
  EXPECT_EQ(bind.socket(), 2);
}

TEST_F(BindTest, AnUnreachableServerIsAskedFromTwoSocketsInTurnAndNoMore) {
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  run(seconds(1));
  lab.barred = [](const ports::TxDatagram&) { return true; };
  run(seconds(300));
  EXPECT_TRUE(bind.given_up());
  EXPECT_EQ(lab.open_sides, 1);
  lab.barred = [](const ports::TxDatagram&) { return false; };
  run(seconds(4));
  EXPECT_TRUE(bind.bound());
}

TEST_F(BindTest, BindsOnlyAfterTheServerReceivedTheEchoFromThatSocket) {
  wants_echo = true;
  bind.begin({3}, key.clone(), kServer4, std::nullopt, now);
  execute();
  ASSERT_EQ(lab.requests.size(), 1U);
  answer(lab.requests.back());
  EXPECT_FALSE(bind.bound());
  execute();
  ASSERT_EQ(lab.requests.size(), 2U) << "at once";
  EXPECT_EQ(lab.requests.back().request.echo, 1000U);
  answer(lab.requests.back());
  EXPECT_TRUE(bind.bound());
  lab.requests.clear();
  lab.barred = [](const ports::TxDatagram& d) { return d.socket == 0; };
  bind.verify(now + kBindVerifyPause);
  run(kBindVerifyPause + seconds(3));
  EXPECT_TRUE(bind.bound());
  EXPECT_EQ(bind.socket(), 1);
}

}  // namespace
}  // namespace eps::node
