// SPDX-License-Identifier: MIT
#include "dataplane/inbound.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "wire/datagram.h"

namespace eps::dataplane {
namespace {

using std::chrono::milliseconds;

struct NoTap final : ports::TapPort {
  std::size_t read(std::span<ports::TapFrame>) override { return 0; }
  std::size_t write(std::span<const ports::TapWrite>) override { return 0; }
};

struct Udp final : ports::UdpPort {
  std::vector<Bytes> waiting;
  std::size_t receive(std::span<ports::RxDatagram> out) override {
    lent = std::exchange(waiting, {});
    for (std::size_t i = 0; i < lent.size(); ++i) {
      out[i] = {};
      out[i].bytes = lent[i];
      out[i].segment_size = lent[i].size();
      out[i].from = {IpAddress::from_v4({0xc0000201U}), 7000};
    }
    return lent.size();
  }
  std::size_t send(std::span<const ports::TxDatagram>) override { return 0; }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}

 private:
  std::vector<Bytes> lent;
};

class InboundTest : public testing::Test {
 protected:
  InboundTest() { published.publish(std::make_shared<PeerTable>()); }
  // What the control thread hears of it.
  std::vector<Upcall> take(const Bytes& datagram) {
    Upcalls upcalls;
    udp.waiting.push_back(datagram);
    inbound.pump(published, view, now, upcalls);
    return upcalls.take();
  }
  std::uint64_t drops(Drop reason) const { return counters.drops[static_cast<std::size_t>(reason)].load(); }

  NoTap tap;
  Udp udp;
  Counters counters;
  PublishedPeers published;
  PublishedPeers::View view;
  Inbound inbound{tap, udp, counters, {}};
  Instant now{std::chrono::hours(1)};
};

TEST_F(InboundTest, AFloodForUnknownSessionsReachesTheControlThreadAtABoundedRate) {
  Bytes datagram(100);
  wire::put_data_header(datagram.data(), {0x123456, 1});
  std::size_t heard = 0;
  for (int n = 0; n < 40'000; ++n) {
    now += std::chrono::microseconds(25);  // for one second
    for (const Upcall& upcall : take(datagram)) heard += std::holds_alternative<UnknownSession>(upcall) ? 1 : 0;
  }
  EXPECT_EQ(drops(Drop::unknown_session), 40'000U);
  EXPECT_GE(heard, 1000U);
  EXPECT_LE(heard, 1020U);
}

TEST_F(InboundTest, WhatIsNoDatagramOfOursIsCountedAndGoesNoFurther) {
  EXPECT_TRUE(take(Bytes(100, std::byte{0xff})).empty());
  EXPECT_TRUE(take(Bytes(wire::kMaxHandshakeSize + 1, std::byte{1})).empty());
  EXPECT_EQ(drops(Drop::malformed), 2U);
}

TEST_F(InboundTest, AHandshakeGoesToTheControlThreadAsItCame) {
  const Bytes datagram(200, static_cast<std::byte>(wire::Type::initiation));
  const auto upcalls = take(datagram);
  ASSERT_EQ(upcalls.size(), 1U);
  EXPECT_EQ(std::get<HandshakeDatagram>(upcalls[0]).bytes, datagram);
}

}  // namespace
}  // namespace eps::dataplane
