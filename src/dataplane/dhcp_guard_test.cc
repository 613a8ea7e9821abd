// SPDX-License-Identifier: MIT

// An answer of a DHCP server on its way from one member to another: what the sender's end lets out, and what the
// receiver's lets in.

#include <gtest/gtest.h>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "l2/frames_fixture.h"
#include "support/node_fakes.h"

namespace eps::dataplane {
namespace {

using l2::Refusal;
using l2::test::kPeer;
using l2::test::kPeerIp;
using l2::test::kSelf;
using l2::test::kSelfIp;

constexpr Instant kNow{std::chrono::hours(1)};
const Endpoint kFrom{IpAddress::from_v4({0xc6120001U}), 7000};

class FakeTap final : public ports::TapPort {
 public:
  std::size_t read(std::span<ports::TapFrame> out) override {
    if (given.empty()) return 0;
    room_.assign(ports::kTapHeadroom, std::byte{0});
    room_.insert(room_.end(), given.begin(), given.end());
    given.clear();
    out[0] = {ByteSpan(room_).subspan(ports::kTapHeadroom), {}};
    return 1;
  }
  std::size_t write(std::span<const ports::TapWrite> frames) override {
    for (const auto& frame : frames) written.push_back(l2::test::join(frame));
    return frames.size();
  }
  Bytes given;
  std::vector<Bytes> written;

 private:
  Bytes room_;
};

// What one end sends, the other receives.
class Wire final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram> out) override {
    if (bytes.empty()) return 0;
    out[0] = {kFrom, bytes, static_cast<std::uint16_t>(bytes.size())};
    return 1;
  }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const auto& d : datagrams) bytes.assign(d.bytes.begin(), d.bytes.end());
    return datagrams.size();
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
  Bytes bytes;
};

// An offer with a router.
Bytes offer() {
  Bytes out(240);
  out[0] = std::byte{2};
  store_be32(&out[16], 0x0a000864);
  store_be32(&out[236], 0x63825363);
  const Bytes options = *from_hex("3501020104ffffff0003040a000801ff");
  out.insert(out.end(), options.begin(), options.end());
  l2::test::Spec spec;
  spec.protocol = l2::kProtocolUdp;
  spec.source_port = 67;
  spec.port = 68;
  spec.payload = std::move(out);
  return l2::test::build_complete(spec);
}

class DhcpGuard : public testing::Test {
 protected:
  // What each end thinks of whether the sender may serve, and whether somebody else may.
  struct Views {
    bool serves = false, somebody = false;
  };
  struct Outcome {
    bool left = false;
    Bytes arrived;
    std::optional<Refusal::What> told_there, told_here;
  };
  static PeerTable table(bool sender, const Views& views) {
    PeerTable out;
    out.self_mac = sender ? kSelf : kPeer;
    out.self_address = sender ? kSelfIp : kPeerIp;
    out.self = {sender ? 1U : 2U};
    out.network = *parse_ip4_network("10.0.8.0/24");
    Peer other;
    other.id = {sender ? 2U : 1U};
    other.mac = sender ? kPeer : kSelf;
    other.address = sender ? kPeerIp : kSelfIp;
    other.session = test::session_of(sender, kNow);
    other.to = kFrom;
    other.activity = std::make_shared<PeerActivity>();
    (sender ? out.self_serves_dhcp : other.serves_dhcp) = views.serves;
    Directory directory;
    directory.put({other.id, other.mac, other.address, true, {}, false, {}, other.serves_dhcp});
    if (views.somebody) directory.put({{3}, l2::test::mac_of(3), {0x0a000803}, true, {}, false, {}, true});
    out.directory = std::make_shared<const Directory>(directory);
    out.by_mac.emplace(other.mac, 0U);
    out.by_index.emplace(1U, PeerTable::Receiving{other.session, 0});
    out.peers.push_back(std::move(other));
    return out;
  }
  static std::optional<Refusal::What> told(Upcalls& upcalls) {
    for (const Upcall& upcall : upcalls.take()) {
      if (const auto* refused = std::get_if<FrameRefused>(&upcall)) return refused->refusal.what;
    }
    return std::nullopt;
  }
  static Outcome pass(const Views& sender, const Views& receiver) {
    Wire wire;
    Outcome out;
    Counters counters;
    const auto run = [&](bool first, auto& end, const Views& views, std::optional<Refusal::What>& what) {
      PublishedPeers published;
      PublishedPeers::View view;
      Upcalls upcalls;
      published.publish(std::make_shared<PeerTable>(table(first, views)));
      end.pump(published, view, kNow, upcalls);
      what = told(upcalls);
    };
    FakeTap from, to;
    from.given = offer();
    Outbound outbound(from, wire, counters, 0);
    run(true, outbound, sender, out.told_there);
    out.left = !wire.bytes.empty();
    Inbound inbound(to, wire, counters, {});
    run(false, inbound, receiver, out.told_here);
    if (!to.written.empty()) out.arrived = to.written[0];
    return out;
  }
};

TEST_F(DhcpGuard, WhoMayServeIsNotTouched) {
  for (const bool somebody : {false, true}) {
    const Outcome out = pass({true, somebody}, {true, somebody});
    EXPECT_EQ(out.arrived, offer());
    EXPECT_FALSE(out.told_here || out.told_there);
  }
}

TEST_F(DhcpGuard, WhereSomebodyElseMayTheSenderLetsNothingOut) {
  const Outcome out = pass({false, true}, {false, true});
  EXPECT_FALSE(out.left);
  EXPECT_EQ(out.told_there, Refusal::What::dhcp);
}

TEST_F(DhcpGuard, NorDoesTheReceiverLetItInFromAProgramThatDoesNotCare) {
  const Outcome out = pass({true, true}, {false, true});
  EXPECT_TRUE(out.left);
  EXPECT_TRUE(out.arrived.empty());
  EXPECT_EQ(out.told_here, Refusal::What::dhcp);
}

TEST_F(DhcpGuard, WhereNobodyMayTheAddressPasses) {
  const Outcome out = pass({}, {});
  EXPECT_EQ(out.told_there, Refusal::What::dhcp_options);
  EXPECT_EQ(out.told_here, Refusal::What::dhcp_options);
  ASSERT_EQ(out.arrived.size(), offer().size());
  EXPECT_TRUE(l2::test::valid(out.arrived));
  const Bytes router = *from_hex("03040a000801");
  EXPECT_EQ(std::ranges::search(out.arrived, router).size(), 0U);
}

}  // namespace
}  // namespace eps::dataplane
