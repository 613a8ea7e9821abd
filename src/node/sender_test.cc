// SPDX-License-Identifier: MIT
#include "node/sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "node/peer.h"
#include "support/node_fakes.h"
#include "support/seeded_rng.h"
#include "wire/datagram.h"

namespace eps::node {
namespace {

const Endpoint kServer{*parse_ip("192.0.2.1"), kDefaultPort};
constexpr std::uint32_t kTag = 77;

class SenderTest : public testing::Test {
 protected:
  void have_relay() {
    relays.set_server(kServer, kTag, ServerRelay::udp, 0);
    peer.path.set_relays({kServerRelay}, now);
  }
  void have_session() { sessions.install(peer.sessions, test::session_of(true, now), now); }
  std::vector<dataplane::Commit::Datagrams> sent() { return out.take().datagrams; }
  std::vector<Endpoint> targets() {
    std::vector<Endpoint> to;
    for (const auto& one : sent()) to.push_back(one.to);
    return to;
  }

  const Instant now{std::chrono::hours(1)};
  test::SeededRng rng{1};
  test::QuietUdp port;
  dataplane::Outbox out{port};
  PeersParams params;
  Counters counters;
  std::vector<std::string> notes;
  Sessions sessions{params, counters, notes, rng};
  Surroundings here;
  RelayDirectory relays{false, rng};
  Paths paths{here, relays, counters};
  Sender sender{out, relays, paths};
  Peer peer{test::member_of(2), rng};
  const Endpoint at = peer.member.candidates[0].endpoint;
  const Bytes datagram = Bytes(40, std::byte{1});
};

TEST_F(SenderTest, AHandshakeLeavesByEveryPossiblePath) {
  have_relay();
  sender.send_handshake(peer, datagram, Sender::Spread::every);
  EXPECT_EQ(targets(), (std::vector{kServer, at}));
  sender.send_handshake(peer, datagram, Sender::Spread::best);
  EXPECT_EQ(targets(), std::vector{kServer}) << "the path in use";
  peer.path.adopt(Way::straight(at), std::nullopt, now);
  sender.send_handshake(peer, datagram, Sender::Spread::best);
  EXPECT_EQ(targets(), std::vector{at});
}

TEST_F(SenderTest, ARelayGetsAnEnvelopeWithItsTag) {
  have_relay();
  sender.send_handshake(peer, datagram, Sender::Spread::best);
  const auto all = sent();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(wire::parse_relay_header(all[0].bytes), (wire::RelayHeader{peer.member.id, kTag}));
  EXPECT_TRUE(std::ranges::equal(ByteView(all[0].bytes).subspan(wire::kRelayHeaderSize), datagram));
}

TEST_F(SenderTest, AnAnswerTakesTheWayThatTheQuestionCame) {
  have_relay();
  const Endpoint source{*parse_ip("192.0.2.9"), 5};  // another of the server's
  sender.answer({source, 0, peer.member.id, kServerRelay}, datagram);
  EXPECT_EQ(targets(), std::vector{source});
  sender.answer({at, 0, {}, {}}, datagram);
  EXPECT_EQ(targets(), std::vector{at}) << "it came directly";
  sender.answer({at, 0, {}, {}}, {});
  EXPECT_TRUE(targets().empty());
}

TEST_F(SenderTest, APathMessageNeedsASessionAndAPath) {
  const mesh::PingMessage ping{1};
  sender.send(peer, ping, now);
  sender.send(peer, ping, Way::straight(at), now);
  EXPECT_TRUE(targets().empty()) << "no session";
  have_session();
  sender.send(peer, ping, now);
  EXPECT_TRUE(targets().empty()) << "no path";
  sender.send(peer, ping, Way::through(kServerRelay), now);
  EXPECT_TRUE(targets().empty()) << "the relay cannot be used";
  sender.send(peer, ping, Way::straight(at), now);
  EXPECT_EQ(targets(), std::vector{at});
  have_relay();
  sender.send(peer, ping, now);
  EXPECT_EQ(targets(), std::vector{kServer});
}

// IP must not cut what measures which size passes.
TEST_F(SenderTest, OnlySizeProbesHaveToArriveWhole) {
  have_session();
  sender.send(peer, mesh::PingMessage{1}, Way::straight(at), now);
  sender.send(peer, mesh::SizePingMessage{1, 500}, Way::straight(at), now);
  const auto all = sent();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_FALSE(all[0].whole);
  EXPECT_TRUE(all[1].whole);
}

}  // namespace
}  // namespace eps::node
