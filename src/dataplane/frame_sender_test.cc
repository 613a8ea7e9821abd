// SPDX-License-Identifier: MIT
#include "dataplane/frame_sender.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace eps::dataplane {
namespace {

constexpr Instant kNow{std::chrono::hours(1)};
constexpr std::size_t kBody = 1400;
constexpr std::size_t kDatagram = wire::kDataHeaderSize + 1 + kBody + wire::kTagSize;
constexpr std::size_t kFull = ports::kMaxUdpPayload / kDatagram;  // segments of a full run

class RecordingUdp final : public ports::UdpPort {
 public:
  struct Sent {
    Endpoint to;
    Bytes bytes;
    std::uint16_t segment_size;
    std::uint8_t traffic_class;
  };
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const auto& d : datagrams)
      sent.push_back({d.to, Bytes(d.bytes.begin(), d.bytes.end()), d.segment_size, d.traffic_class});
    return datagrams.size();
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
  std::vector<Sent> sent;
};

class FrameSenderTest : public testing::Test {
 protected:
  static crypto::Key key(bool of_initiator) {
    crypto::Key out;
    std::ranges::fill(out.writable(), of_initiator ? std::byte{1} : std::byte{2});
    return out;
  }
  static session::SessionParams params(bool initiator) {
    session::SessionParams out;
    out.initiator = initiator;
    out.established_at = kNow;
    out.send_key = key(initiator);
    out.receive_key = key(!initiator);
    return out;
  }
  static Peer peer(std::uint8_t number) {
    Peer out;
    out.id = {number};
    out.session = std::make_shared<session::Session>(params(true));
    out.to = {IpAddress::from_v4({0x0a000000U + number}), 7000};
    out.activity = std::make_shared<PeerActivity>();
    return out;
  }
  // Numbered in sending order, over all peers.
  void send(const Peer& to, std::size_t count, std::size_t size = kBody) {
    for (; count > 0; --count) {
      Bytes body(size, std::byte{0});
      store_be32(body.data(), next_++);
      const std::byte kind{1};
      const l2::Segment segment{{&kind, 1}, body, static_cast<std::uint32_t>(size)};
      sender_.send_segments(to, {&segment, 1}, traffic_class_, kNow);
    }
  }
  // The number of datagrams in each run that was sent.
  std::vector<std::size_t> runs() const {
    std::vector<std::size_t> out;
    for (const auto& run : udp_.sent) out.push_back((run.bytes.size() + run.segment_size - 1) / run.segment_size);
    return out;
  }
  // The numbers that open at the other end of each peer's session. Call it once: it opens in place.
  std::map<Endpoint, std::vector<std::uint32_t>> opened() {
    std::map<Endpoint, std::vector<std::uint32_t>> out;
    std::map<Endpoint, std::unique_ptr<session::Session>> ends;
    for (auto& run : udp_.sent) {
      auto& end = ends[run.to];
      if (!end) end = std::make_unique<session::Session>(params(false));
      for (ByteSpan rest = run.bytes; !rest.empty();) {
        session::Open item{.datagram = rest.first(std::min<std::size_t>(run.segment_size, rest.size())), .plain = {}};
        rest = rest.subspan(item.datagram.size());
        end->open({&item, 1}, kNow);
        EXPECT_EQ(item.drop, Drop::none);
        if (item.drop == Drop::none) out[run.to].push_back(load_be32(item.plain.data() + 1));
      }
    }
    return out;
  }
  static std::vector<std::uint32_t> numbers(std::uint32_t from, std::uint32_t to) {
    std::vector<std::uint32_t> out;
    for (; from < to; ++from) out.push_back(from);
    return out;
  }

  RecordingUdp udp_;
  Counters counters_;
  FrameSender sender_{udp_, counters_};
  std::uint32_t next_ = 0;
  std::uint8_t traffic_class_ = 0;
};

// The initiator may have lost the older one, as after a restart.
TEST_F(FrameSenderTest, ASessionIsUsedFromItsInitiatorsFirstDatagramOn) {
  Peer to = peer(1);
  to.next = std::make_shared<session::Session>(params(false));
  EXPECT_EQ(to.sealing(), to.session.get());
  send(peer(2), 1);
  sender_.flush();
  session::Open first{.datagram = udp_.sent[0].bytes, .plain = {}};
  EXPECT_TRUE(to.next->open({&first, 1}, kNow));
  EXPECT_EQ(to.sealing(), to.next.get()) << "although the table is the same";
  to.session = nullptr;
  EXPECT_FALSE(to.ready()) << "the path may be another";
}

using Runs = std::vector<std::size_t>;

TEST_F(FrameSenderTest, ARunWithRoomWaitsForMore) {
  const Peer to = peer(1);
  send(to, kFull + 3);
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs({kFull}));
  send(to, kFull);
  sender_.flush();
  EXPECT_EQ(runs(), Runs({kFull, kFull, 3}));
  EXPECT_EQ(opened()[to.to], numbers(0, 2 * kFull + 3));
}

TEST_F(FrameSenderTest, WithoutRunsEachDatagramLeavesByItself) {
  Peer to = peer(1);
  to.runs = false;
  send(to, 3);
  sender_.flush();
  EXPECT_EQ(runs(), Runs({1, 1, 1}));
  EXPECT_EQ(opened()[to.to], numbers(0, 3));
}

TEST_F(FrameSenderTest, AFullRunDoesNotWait) {
  const Peer to = peer(1);
  send(to, kFull);
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs({kFull}));
}

TEST_F(FrameSenderTest, AShorterDatagramEndsARun) {
  const Peer to = peer(1);
  send(to, 5);
  send(to, 1, 100);
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs({6}));
}

TEST_F(FrameSenderTest, NothingWaitsTwice) {
  const Peer to = peer(1);
  send(to, 3);
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs{});
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs({3}));
}

TEST_F(FrameSenderTest, ARunDoesNotWaitForAnotherPeer) {
  const Peer one = peer(1), two = peer(2);
  send(one, 3);
  sender_.flush_full_runs();
  send(two, 4);
  sender_.flush_full_runs();
  EXPECT_EQ(runs(), Runs({3}));
  sender_.flush();
  EXPECT_EQ(runs(), Runs({3, 4}));
  auto got = opened();
  EXPECT_EQ(got[one.to], numbers(0, 3));
  EXPECT_EQ(got[two.to], numbers(3, 7));
}

// More than the arena holds, which flushes in between.
TEST_F(FrameSenderTest, ALongTrainLeavesInFullRuns) {
  const Peer to = peer(1);
  send(to, 40 * kFull);
  sender_.flush();
  EXPECT_EQ(runs(), Runs(40, kFull));
  EXPECT_EQ(opened()[to.to], numbers(0, 40 * kFull));
}

// What the path does not carry whole arrives in pieces that fit, even from a head that is longer than a piece.
TEST_F(FrameSenderTest, ARunHasOneTrafficClass) {
  Peer to = peer(1);
  to.outer_class = 0xff;
  for (const int traffic_class : {0, 0, 0xb8, 0xb8, 0xba, 0}) {
    traffic_class_ = static_cast<std::uint8_t>(traffic_class);
    send(to, 1);
  }
  to.outer_class = 0xfc;
  traffic_class_ = 0xba;
  send(to, 1);
  to.outer_class = 0;
  send(to, 1);
  sender_.flush();
  EXPECT_EQ(runs(), (std::vector<std::size_t>{2, 2, 1, 1, 1, 1}));
  std::vector<int> classes;
  for (const auto& run : udp_.sent) classes.push_back(run.traffic_class);
  EXPECT_EQ(classes, (std::vector<int>{0, 0xb8, 0xba, 0, 0xb8, 0}));
}

TEST_F(FrameSenderTest, ALargeFrameLeavesInPiecesThatFit) {
  Peer to = peer(1);
  to.max_plain = 500;
  session::Session end(params(false));
  Reassembly reassembly;
  for (const std::size_t head_size : {1UL, 42UL, 499UL, 500UL, 3000UL}) {
    Bytes whole(9000);
    for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<std::byte>(i * 7);
    const l2::Segment segment{ByteView(whole).first(head_size), ByteView(whole).subspan(head_size), 9014};
    udp_.sent.clear();
    sender_.send_segments(to, {&segment, 1}, traffic_class_, kNow);
    sender_.flush();
    Bytes joined;
    for (auto& run : udp_.sent) {
      for (ByteSpan rest = run.bytes; !rest.empty();) {
        session::Open item{.datagram = rest.first(std::min<std::size_t>(run.segment_size, rest.size())), .plain = {}};
        rest = rest.subspan(item.datagram.size());
        end.open({&item, 1}, kNow);
        ASSERT_EQ(item.drop, Drop::none);
        EXPECT_LE(item.plain.size(), to.max_plain);
        ASSERT_EQ(item.plain[0], static_cast<std::byte>(wire::Kind::fragment));
        auto taken = reassembly.take(item.plain.subspan(1), 0, kNow);
        EXPECT_EQ(taken.drop, Drop::none);
        if (!taken.joined.empty()) joined = std::move(taken.joined);
      }
    }
    ASSERT_EQ(joined.size(), wire::kDataHeaderSize + whole.size()) << head_size;
    EXPECT_TRUE(equal(ByteView(joined).subspan(wire::kDataHeaderSize), whole)) << head_size;
  }
  EXPECT_EQ(counters_.packets_sent, 5U);
  EXPECT_EQ(counters_.bytes_sent, 5 * 9014U);
}

}  // namespace
}  // namespace eps::dataplane
