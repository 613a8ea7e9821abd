// SPDX-License-Identifier: MIT
#include "dataplane/relay.h"

#include <gtest/gtest.h>

#include "dataplane/stream_port.h"
#include "wire/datagram.h"

namespace eps::dataplane {
namespace {

using std::chrono::milliseconds;

// An output that accepts this many bytes a millisecond, with a buffer for twice as many.
class SlowUdp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram> out) override { return on_receive ? on_receive(out) : 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    std::size_t taken = 0;
    for (const auto& d : datagrams) {
      if (d.bytes.size() > room) break;  // full: this one and everything after it are lost
      room -= d.bytes.size();
      ++taken;
      passed[wire::parse_relay_header(d.bytes)->member] += ports::segments_of(d);
      bytes += d.bytes.size();
    }
    return taken;
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
  void tick() { room = std::min(room + rate, 2 * rate); }

  std::function<std::size_t(std::span<ports::RxDatagram>)> on_receive;
  std::size_t rate = 0;
  std::size_t room = 0;
  std::size_t bytes = 0;
  std::map<MemberId, std::size_t> passed;  // datagrams by sender
};

class RelayTest : public testing::Test {
 protected:
  RelayTest() {
    for (std::uint32_t id = 1; id <= 5; ++id) {
      table_.put({{id}, id, endpoint(id), 0, std::make_shared<Counters>()});
    }
  }
  static Endpoint endpoint(std::uint32_t id) { return {IpAddress::from_v4({0x0a000000U + id}), 7000}; }
  void send(std::uint32_t from, std::uint32_t to, std::size_t size, int times) {
    for (; times > 0; --times) {
      Bytes& datagram = datagrams_.emplace_back(size);
      wire::put_relay_header(datagram.data(), {{to}, from});
      ports::RxDatagram run{endpoint(from), datagram, static_cast<std::uint16_t>(size)};
      forwarder_.forward(table_, run, datagram, now_, upcalls_);
    }
  }
  void step() {
    forwarder_.flush(now_);
    datagrams_.clear();
    now_ += milliseconds(1);
    udp_.tick();
  }

  SlowUdp udp_;
  Counters counters_;
  Forwarder forwarder_{udp_, counters_};
  void put_inside(std::uint32_t id) {
    RelayMember member = *table_.by_id({id});
    member.inside = true;
    table_.put(member);
  }
  RelayTable table_;
  Upcalls upcalls_;
  std::deque<Bytes> datagrams_;
  Instant now_{std::chrono::hours(1)};
};

TEST_F(RelayTest, NobodyIsRelayedToItself) {
  udp_.rate = 10'000;
  udp_.tick();
  send(1, 1, 1000, 3);
  send(1, 2, 1000, 3);
  step();
  EXPECT_EQ(udp_.bytes, 3000U);
}

TEST_F(RelayTest, AFloodDoesNotStarveAModestSender) {
  udp_.rate = 10'000;
  for (int ms = 0; ms < 3000; ++ms) {
    if (ms == 200) udp_.passed.clear(), udp_.bytes = 0;
    send(1, 5, 1000, 100);  // ten times the capacity, and always first
    send(2, 5, 500, 1);
    step();
  }
  EXPECT_GT(udp_.passed[{2}], 2800U * 95 / 100);
  EXPECT_GT(udp_.bytes, 2800U * 10'000 * 85 / 100) << "the flood gets the rest";
}

TEST_F(RelayTest, FloodsShareEqually) {
  udp_.rate = 10'000;
  for (int ms = 0; ms < 3000; ++ms) {
    if (ms == 200) udp_.passed.clear();
    send(1, 5, 1000, 90);
    send(2, 5, 1000, 30);
    send(3, 5, 1000, 15);
    step();
  }
  const auto [least, most] = std::minmax({udp_.passed[{1}], udp_.passed[{2}], udp_.passed[{3}]});
  EXPECT_GT(least * 100, most * 80) << least << " " << most;
}

TEST_F(RelayTest, NothingIsHeldBackWithoutCongestion) {
  udp_.rate = 200'000;
  udp_.tick();
  for (int ms = 0; ms < 500; ++ms) {
    send(1, 5, 1000, 100);
    send(2, 5, 500, 1);
    step();
  }
  EXPECT_EQ(udp_.passed[{1}], 50'000U);
  EXPECT_EQ(udp_.passed[{2}], 500U);
}

TEST_F(RelayTest, ATagIsValidFromItsOwnEndpointAndControlConnection) {
  const auto forward = [&](const Endpoint& from) {
    Bytes datagram(100);
    wire::put_relay_header(datagram.data(), {{5}, 1});
    return forwarder_.forward(table_, {from, datagram, 100}, datagram, now_, upcalls_);
  };
  EXPECT_EQ(forward(endpoint(1)), Drop::none);
  EXPECT_EQ(forward(stream_endpoint({1})), Drop::none);
  put_inside(1);
  EXPECT_EQ(forward(endpoint(1)), Drop::none) << "which is back on UDP but has not announced it yet";
  EXPECT_EQ(forward(endpoint(2)), Drop::unauthorised);
  EXPECT_EQ(forward(stream_endpoint({2})), Drop::unauthorised);
}

TEST_F(RelayTest, WhatWasMeantForTheRunBeforeIsExpectedAtFirst) {
  Bytes datagram(100);
  const auto forward = [&](std::uint32_t tag, const Endpoint& from) {
    wire::put_relay_header(datagram.data(), {{5}, tag});
    return forwarder_.forward(table_, {from, datagram, 100}, datagram, now_, upcalls_);
  };
  EXPECT_EQ(forward(77, endpoint(1)), Drop::expired);
  EXPECT_EQ(forward(1, endpoint(2)), Drop::unauthorised) << "a tag of this run proves nothing from elsewhere";
  now_ += kRelayBegins;
  EXPECT_EQ(forward(77, endpoint(1)), Drop::unauthorised);
}

TEST_F(RelayTest, AMemberIsRelayedUpToItsQuotaByEitherTransport) {
  udp_.rate = 10'000'000;
  udp_.tick();
  auto quota = std::make_shared<RelayQuota>();
  quota->set({.bits_per_second = 8'000'000});
  RelayMember limited = *table_.by_id({1});
  limited.quota = quota;
  table_.put(limited);
  for (int ms = 0; ms < 2000; ++ms) {
    send(1, 5, 1000, 10);
    for (int n = 0; n < 10; ++n) {  // the same from its control connection
      Bytes& datagram = datagrams_.emplace_back(1000);
      wire::put_relay_header(datagram.data(), {{5}, 1});
      forwarder_.forward(table_, {stream_endpoint({1}), datagram, 1000}, datagram, now_, upcalls_);
    }
    send(2, 5, 1000, 10);
    step();
  }
  EXPECT_NEAR(static_cast<double>(udp_.passed[{1}]), 2000 + 262, 5) << "1,000 a second, and 256 KiB at once";
  EXPECT_EQ(udp_.passed[{2}], 20'000U);
  EXPECT_EQ(quota->packets_dropped(), 40'000 - udp_.passed[{1}]);
  const auto upcalls = upcalls_.take();
  ASSERT_EQ(upcalls.size(), 1U) << "told once";
  EXPECT_EQ(std::get<RelayLimited>(upcalls[0]).from, MemberId{1});
}

TEST_F(RelayTest, FirstDatagramOfAMemberIsForwarded) {
  PublishedRelay published;
  PublishedRelay::View view;
  published.after(Batch::receive(udp_, {}), view);
  Bytes datagram(100);
  udp_.on_receive = [&](std::span<ports::RxDatagram> out) -> std::size_t {
    // The control thread makes 1 a member, and 1 sends at once, while the worker is on its way to the socket.
    published.publish(std::make_shared<RelayTable>(table_));
    wire::put_relay_header(datagram.data(), {{5}, 1});
    out[0] = {endpoint(1), datagram, 100};
    return 1;
  };
  udp_.room = 1000;
  Upcalls upcalls;
  Relay(udp_, counters_).pump(published, view, now_, upcalls);
  EXPECT_EQ(udp_.passed[{1}], 1U);
}

TEST_F(RelayTest, ASlowStreamDelaysNobodyElse) {
  udp_.rate = 1'000'000;
  udp_.tick();
  StreamPort port(
      udp_, [] {}, [] {});
  port.open({4});
  put_inside(4);
  Forwarder forwarder(port, counters_);
  std::size_t to_stream = 0;
  for (int ms = 0; ms < 2000; ++ms) {
    std::deque<Bytes> datagrams;
    const auto one = [&](std::uint32_t from, std::uint32_t to) {
      Bytes& datagram = datagrams.emplace_back(1000);
      wire::put_relay_header(datagram.data(), {{to}, from});
      forwarder.forward(table_, {endpoint(from), datagram, 1000}, datagram, now_, upcalls_);
    };
    for (int i = 0; i < 50; ++i) one(1, 4);  // a flood into the stream of 4
    one(2, 4);
    one(1, 5);
    one(2, 5);
    forwarder.flush(now_);
    now_ += milliseconds(1);
    udp_.tick();
    std::size_t too_old = 0;
    for (const Bytes& datagram : port.take({4}, 5000, now_, too_old)) {  // a tenth of the flood
      if (wire::parse_relay_header(datagram)->member == MemberId{2}) ++to_stream;
    }
  }
  EXPECT_EQ(udp_.passed[{1}], 2000U);
  EXPECT_EQ(udp_.passed[{2}], 2000U);
  EXPECT_GT(to_stream, 1600U);
}

TEST_F(RelayTest, DatagramWithoutAStreamIsNotCongestion) {
  StreamPort port(
      udp_, [] {}, [] {});
  port.open({4});
  put_inside(4);
  Forwarder forwarder(port, counters_);
  std::deque<Bytes> datagrams;
  const auto forward = [&](std::size_t size) {
    Bytes& datagram = datagrams.emplace_back(size);
    wire::put_relay_header(datagram.data(), {{4}, 1});
    return forwarder.forward(table_, {endpoint(1), datagram, static_cast<std::uint16_t>(size)}, datagram, now_,
                             upcalls_);
  };
  EXPECT_EQ(forward(60'000), Drop::oversized);
  forwarder.flush(now_);
  now_ += FairShare::kWindow;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(forward(1000), Drop::none);
  now_ += FairShare::kWindow;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(forward(1000), Drop::none) << "nobody is limited";
}

}  // namespace
}  // namespace eps::dataplane
