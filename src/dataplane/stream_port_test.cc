// SPDX-License-Identifier: MIT
#include "dataplane/stream_port.h"

#include <gtest/gtest.h>

#include "wire/control_messages.h"

namespace eps::dataplane {
namespace {

using std::chrono::milliseconds;

// Records what was sent and delivers what a test injects.
class FakeUdp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram> out) override {
    std::size_t n = 0;
    for (; n < out.size() && n < waiting.size(); ++n) out[n] = waiting[n];
    waiting.clear();
    return n;
  }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const auto& d : datagrams) sent.push_back(d.to);
    return datagrams.size();
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
  std::vector<ports::RxDatagram> waiting;
  std::vector<Endpoint> sent;
};

class StreamPortTest : public testing::Test {
 protected:
  std::size_t send(const Endpoint& to, std::size_t size, std::uint16_t segment = 0) {
    const Bytes bytes(size, std::byte{7});
    const ports::TxDatagram out{to, bytes, segment};
    return port_.send({&out, 1});
  }
  std::vector<Bytes> take(MemberId member, std::size_t room = 1'000'000) {
    return port_.take(member, room, now_, too_old_);
  }
  std::vector<Endpoint> receive() {
    std::array<ports::RxDatagram, 8> runs;
    std::vector<Endpoint> out;
    for (const auto& run : std::span(runs).first(port_.receive(runs))) out.push_back(run.from);
    return out;
  }

  FakeUdp udp_;
  int queued_ = 0;
  int arrived_ = 0;
  StreamPort port_{udp_, [this] { ++queued_; }, [this] { ++arrived_; }};
  Instant now_{std::chrono::hours(1)};
  std::size_t too_old_ = 0;
  const Endpoint elsewhere_{IpAddress::from_v4({0x0a000001}), 7};
};

TEST_F(StreamPortTest, DatagramsForAStreamWaitAndOthersLeave) {
  port_.open({3});
  const Bytes bytes(100, std::byte{1});
  const std::array out = {ports::TxDatagram{elsewhere_, bytes, 0}, ports::TxDatagram{stream_endpoint({3}), bytes, 0},
                          ports::TxDatagram{stream_endpoint({3}), bytes, 40}, ports::TxDatagram{elsewhere_, bytes, 0}};
  EXPECT_EQ(port_.send(out), 4U);
  EXPECT_EQ(udp_.sent, std::vector<Endpoint>({elsewhere_, elsewhere_}));
  EXPECT_EQ(queued_, 1) << "signalled once until somebody looks";
  EXPECT_EQ(port_.take_waiting(now_), std::vector<MemberId>{{3}});
  const auto got = take({3});
  ASSERT_EQ(got.size(), 4U);
  EXPECT_EQ(got[0].size(), 100U);
  EXPECT_EQ(got[1].size(), 40U) << "a run is cut";
  EXPECT_EQ(got[3].size(), 20U);
  EXPECT_TRUE(port_.take_waiting(now_).empty());
  send(stream_endpoint({3}), 1);
  EXPECT_EQ(queued_, 2);
}

TEST_F(StreamPortTest, AClosedStreamAcceptsNothing) {
  EXPECT_EQ(send(stream_endpoint({3}), 10), 0U);
  port_.open({3});
  Endpoint near = stream_endpoint({3});
  near.ip.bytes[9] = std::byte{1};
  EXPECT_EQ(send(near, 10), 0U);
  EXPECT_EQ(send(stream_endpoint({3}), 10), 1U);
  EXPECT_EQ(send(stream_endpoint({3}), 30, 10), 1U);
  EXPECT_EQ(port_.close({3}), 4U) << "waited and are lost";
  EXPECT_EQ(port_.close({3}), 0U);
  EXPECT_TRUE(take({3}).empty());
  EXPECT_TRUE(udp_.sent.empty()) << "and none of it leaves by UDP";
}

TEST_F(StreamPortTest, AFullQueueDropsItsOwnNewestDatagram) {
  port_.open({1});
  port_.open({2});
  std::size_t sent = 0;
  for (int i = 0; i < 1000; ++i) sent += send(stream_endpoint({1}), 1000);
  EXPECT_EQ(sent, StreamPort::kMaxQueued / 1000);
  EXPECT_EQ(send(stream_endpoint({2}), 1000), 1U);
  EXPECT_EQ(take({2}).size(), 1U);
  EXPECT_EQ(take({1}, 10'000).size(), 10U);
  EXPECT_EQ(send(stream_endpoint({1}), 1000), 1U) << "room again";
}

TEST_F(StreamPortTest, OverdueDatagramIsDropped) {
  port_.open({1});
  for (int i = 0; i < 10; ++i) send(stream_endpoint({1}), 100);
  EXPECT_EQ(take({1}, 300).size(), 3U);
  now_ += StreamPort::kMaxAge + milliseconds(1);
  send(stream_endpoint({1}), 50);
  const auto got = take({1});
  EXPECT_EQ(too_old_, 7U);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].size(), 50U);
}

TEST_F(StreamPortTest, DatagramWaitingForRoomAges) {
  port_.open({1});
  send(stream_endpoint({1}), 100);
  port_.take_waiting(now_);
  now_ += StreamPort::kMaxAge;
  send(stream_endpoint({1}), 50);
  port_.take_waiting(now_);
  now_ += milliseconds(1);
  const auto got = take({1});
  EXPECT_EQ(too_old_, 1U);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].size(), 50U);
}

TEST_F(StreamPortTest, DatagramLargerThanAnyMtuIsRefused) {
  port_.open({1});
  EXPECT_EQ(send(stream_endpoint({1}), StreamPort::kMaxDatagram + 1), 0U);
  EXPECT_EQ(send(stream_endpoint({1}), 60'000, 60'000), 0U);
  EXPECT_TRUE(take({1}).empty());
  EXPECT_EQ(send(stream_endpoint({1}), 60'000, 1500), 1U) << "a run of small ones";
  EXPECT_EQ(send(stream_endpoint({1}), StreamPort::kMaxDatagram), 1U);
}

TEST_F(StreamPortTest, NoMoreIsTakenThanFits) {
  port_.open({1});
  const auto sizes = [&](std::size_t room) {
    std::vector<std::size_t> out;
    for (const Bytes& datagram : take({1}, room)) out.push_back(datagram.size());
    return out;
  };
  for (const std::size_t size : {900, 200, 9000, 100}) send(stream_endpoint({1}), size);
  using Sizes = std::vector<std::size_t>;
  EXPECT_EQ(sizes(0), Sizes());
  EXPECT_EQ(sizes(1000), Sizes({900}));
  EXPECT_EQ(sizes(1000), Sizes({200}));
  EXPECT_EQ(sizes(1000), Sizes({9000})) << "or it would wait for ever";
  EXPECT_EQ(sizes(100), Sizes({100}));
}

TEST_F(StreamPortTest, TakenDatagramsFitAControlMessage) {
  port_.open({1});
  for (const std::size_t size : {32'000, 60'000, 65'500, 16'000, 16'384, 16'384, 10, 16'384}) {
    send(stream_endpoint({1}), size);
  }
  for (std::size_t i = 0; i < wire::kMaxRelayedPerMessage; ++i) send(stream_endpoint({1}), 63);
  std::size_t messages = 0;
  for (auto got = take({1}); !got.empty(); got = take({1})) {
    EXPECT_TRUE(wire::decode(wire::encode(wire::Relay{std::move(got)})));
    ++messages;
  }
  EXPECT_EQ(messages, 4U);
}

TEST_F(StreamPortTest, NoMoreIsTakenThanOneMessageMayHold) {
  port_.open({1});
  for (std::size_t i = 0; i <= wire::kMaxRelayedPerMessage; ++i) send(stream_endpoint({1}), 10);
  EXPECT_EQ(take({1}).size(), wire::kMaxRelayedPerMessage);
  EXPECT_EQ(take({1}).size(), 1U);
}

TEST_F(StreamPortTest, ArrivedDatagramsAreReceivedAlongsideUdp) {
  port_.open({5});
  EXPECT_EQ(port_.arrive({5}, std::vector<Bytes>(6, Bytes(10))), 6U);
  EXPECT_EQ(port_.arrive({6}, {Bytes(10)}), 0U) << "no such stream";
  EXPECT_EQ(arrived_, 1);
  Bytes bytes(10);
  udp_.waiting = {{elsewhere_, bytes, 10}};
  const Endpoint stream = stream_endpoint({5});
  EXPECT_EQ(receive(), std::vector<Endpoint>({stream, stream, stream, stream, elsewhere_}));
  EXPECT_EQ(receive(), std::vector<Endpoint>({stream, stream}));
  EXPECT_TRUE(receive().empty());
}

TEST_F(StreamPortTest, ArrivalsBeyondTheLimitAreDropped) {
  port_.open({5});
  EXPECT_EQ(port_.arrive({5}, std::vector<Bytes>(1000, Bytes(1000))), StreamPort::kMaxArrived / 1000);
  while (!receive().empty()) {
  }
  EXPECT_EQ(port_.arrive({5}, {Bytes(1000)}), 1U);
}

TEST_F(StreamPortTest, AnotherQueueSendsToTheSameStreamsAndReceivesOnlyItsOwn) {
  FakeUdp other;
  StreamPort::Queue queue(port_, other);
  port_.open({5});
  port_.arrive({5}, {Bytes(10)});
  Bytes bytes(10);
  other.waiting = {{elsewhere_, bytes, 10}, {stream_endpoint({5}), bytes, 10}};
  std::array<ports::RxDatagram, 16> runs;
  EXPECT_EQ(queue.receive(runs), 1U);
  EXPECT_EQ(runs[0].from, elsewhere_);
  EXPECT_EQ(receive(), std::vector<Endpoint>{stream_endpoint({5})});
  const std::array<ports::TxDatagram, 2> out = {{{stream_endpoint({5}), bytes, 0}, {elsewhere_, bytes, 0}}};
  EXPECT_EQ(queue.send(out), 2U);
  EXPECT_EQ(take({5}).size(), 1U);
  EXPECT_EQ(other.sent, std::vector<Endpoint>{elsewhere_});
}

TEST_F(StreamPortTest, AForgedSourceDoesNotCountAsAStream) {
  port_.open({5});
  Bytes bytes(10);
  udp_.waiting = {{stream_endpoint({5}), bytes, 10}, {elsewhere_, bytes, 10}};
  EXPECT_EQ(receive(), std::vector<Endpoint>{elsewhere_});
}

}  // namespace
}  // namespace eps::dataplane
