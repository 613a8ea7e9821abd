// SPDX-License-Identifier: MIT
#include "dataplane/outbound.h"

#include <gtest/gtest.h>

#include "wire/datagram.h"

namespace eps::dataplane {
namespace {

constexpr std::uint16_t kPort = 43439;
const Mac kSelf = *parse_mac("02:00:00:00:00:01");

struct Tap final : ports::TapPort {
  Bytes frame;
  Bytes lent;
  std::size_t read(std::span<ports::TapFrame> out) override {
    if (frame.empty()) return 0;
    lent.assign(ports::kTapHeadroom, std::byte{0});
    lent.insert(lent.end(), frame.begin(), frame.end());
    frame.clear();
    out[0] = {ByteSpan(lent).subspan(ports::kTapHeadroom), {}};
    return 1;
  }
  std::size_t write(std::span<const ports::TapWrite>) override { return 0; }
};

struct NoUdp final : ports::UdpPort {
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram>) override { return 0; }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
};

// An Ethernet frame from `from` to an arbitrary address: UDP over IPv4 from 192.168.43.7 with this source port.
Bytes udp_frame(const Mac& from, std::uint16_t port, std::byte first) {
  Bytes f(14 + 20 + 8 + 40);
  std::fill_n(f.begin(), 6, std::byte{0x02});
  std::copy(from.bytes.begin(), from.bytes.end(), f.begin() + 6);
  store_be16(f.data() + 12, l2::kEtherIp4);
  f[14] = std::byte{0x45};
  store_be16(f.data() + 16, 68);
  f[23] = std::byte{l2::kProtocolUdp};
  store_be32(f.data() + 26, 0xc0a82b07);
  store_be16(f.data() + 34, port);
  store_be16(f.data() + 38, 48);
  f[42] = first;
  return f;
}

// Why a frame was dropped.
Drop fate(const Bytes& frame, std::uint16_t underlay_port = kPort) {
  Tap tap;
  NoUdp udp;
  Counters counters;
  PublishedPeers published;
  auto table = std::make_shared<PeerTable>();
  table->self_mac = kSelf;
  table->self_address = {0xc0a82b07};
  published.publish(table);
  PublishedPeers::View view;
  Upcalls upcalls;
  Outbound outbound(tap, udp, counters, underlay_port);
  tap.frame = frame;
  outbound.pump(published, view, Instant{std::chrono::hours(1)}, upcalls);
  for (std::size_t i = 0; i < counters.drops.size(); ++i) {
    if (counters.drops[i] > 0) return static_cast<Drop>(i);
  }
  return Drop::none;
}

TEST(Outbound, NothingThatThisNodeSentLoopsThroughTheConduit) {
  const auto data = static_cast<std::byte>(wire::Type::data);
  EXPECT_EQ(fate(udp_frame(kSelf, kPort, data)), Drop::looped);
  EXPECT_EQ(fate(udp_frame(kSelf, kPort, static_cast<std::byte>(wire::Type::relay))), Drop::looped);
  EXPECT_EQ(fate(udp_frame(kSelf, kPort + 1, data)), Drop::no_peer) << "another program's";
  EXPECT_EQ(fate(udp_frame(kSelf, kPort, std::byte{0xee})), Drop::no_peer) << "not in our format";
  EXPECT_NE(fate(udp_frame(*parse_mac("02:00:00:00:00:77"), kPort, data)), Drop::looped) << "from a bridged machine";
  EXPECT_EQ(fate(udp_frame(kSelf, kPort, data), 0), Drop::no_peer);
}

}  // namespace
}  // namespace eps::dataplane
