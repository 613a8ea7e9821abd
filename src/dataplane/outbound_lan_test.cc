// SPDX-License-Identifier: MIT
#include "dataplane/outbound.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "l2/frames_fixture.h"

namespace eps::dataplane {
namespace {

using l2::test::kPeer;
using l2::test::kPeerIp;
using l2::test::kSelf;
using l2::test::kSelfIp;
using l2::test::mac_of;

constexpr Instant kNow{std::chrono::hours(1)};
constexpr Mac kAll{
    {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}}};
constexpr Ip4 kShared{0x0a000832};

class FakeTap final : public ports::TapPort {
 public:
  std::size_t read(std::span<ports::TapFrame> out) override {
    const std::size_t n = std::min(out.size(), given.size());
    lent_.clear();
    for (std::size_t i = 0; i < n; ++i) {
      Bytes& room = lent_.emplace_back(ports::kTapHeadroom);
      room.insert(room.end(), given[i].begin(), given[i].end());
    }
    for (std::size_t i = 0; i < n; ++i) out[i] = {ByteSpan(lent_[i]).subspan(ports::kTapHeadroom), {}};
    given.erase(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(n));
    return n;
  }
  std::size_t write(std::span<const ports::TapWrite> frames) override {
    for (const auto& frame : frames) {
      written.emplace_back();
      for (const ByteView piece : frame.pieces) written.back().insert(written.back().end(), piece.begin(), piece.end());
    }
    return frames.size();
  }
  std::vector<Bytes> given;
  std::vector<Bytes> written;

 private:
  std::vector<Bytes> lent_;
};

class CountingUdp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const auto& d : datagrams) {
      sent[d.to] += d.segment_size == 0 ? 1 : (d.bytes.size() + d.segment_size - 1) / d.segment_size;
    }
    return datagrams.size();
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
  std::map<Endpoint, std::size_t> sent;
};

Bytes ethernet(const Mac& dst, std::uint16_t type, std::size_t size = 60, const Mac& src = kSelf) {
  Bytes out(size);
  std::ranges::copy(dst.bytes, out.begin());
  std::ranges::copy(src.bytes, out.begin() + 6);
  store_be16(out.data() + 12, type);
  return out;
}

Bytes arp(Ip4 sender, Ip4 target, const Mac& from = kSelf) {
  Bytes out = ethernet(kAll, l2::kEtherArp, 60, from);
  std::byte* p = out.data() + l2::kEthernetSize;
  store_be16(p, 1);
  store_be16(p + 2, l2::kEtherIp4);
  store_be16(p + 4, 0x0604);
  store_be16(p + 6, 1);
  std::ranges::copy(from.bytes, p + 8);
  store_be32(p + 14, sender.value);
  store_be32(p + 24, target.value);
  return out;
}

// Member 2 has a session; 3 and 4 are online without one, 5 is offline.
class OutboundTest : public testing::Test {
 protected:
  OutboundTest() {
    table_.self = {1};
    table_.self_mac = kSelf;
    table_.self_address = kSelfIp;
    Peer live;
    live.id = {2};
    live.mac = kPeer;
    live.address = kPeerIp;
    session::SessionParams params;
    params.initiator = true;
    params.established_at = kNow;
    live.session = std::make_shared<session::Session>(std::move(params));
    live.to = kLive;
    live.activity = std::make_shared<PeerActivity>();
    table_.by_mac.emplace(live.mac, 0U);
    table_.peers.push_back(std::move(live));
    for (std::uint32_t id = 2; id <= 5; ++id) {
      directory_.put({{id}, mac_of(id), {0x0a000800 + id}, id != 5, {}});
    }
  }
  void pump(std::vector<Bytes> frames) {
    auto table = std::make_shared<PeerTable>(table_);
    table->directory = std::make_shared<const Directory>(directory_);
    published_.publish(std::move(table));
    tap_.given = std::move(frames);
    Upcalls upcalls;
    while (outbound_.pump(published_, view_, kNow, upcalls) > 0) {
    }
    upcalls_ = upcalls.take();
  }
  template <class T>
  std::vector<T> upcalls() const {
    std::vector<T> out;
    for (const Upcall& u : upcalls_) {
      if (const auto* t = std::get_if<T>(&u)) out.push_back(*t);
    }
    return out;
  }
  std::uint64_t drops(Drop reason) const { return counters_.drops[static_cast<std::size_t>(reason)]; }
  std::size_t sent() const {
    std::size_t out = 0;
    for (const auto& [to, n] : udp_.sent) out += n;
    return out;
  }

  const Endpoint kLive = *parse_endpoint("10.1.1.2:7000");
  FakeTap tap_;
  CountingUdp udp_;
  Counters counters_;
  Outbound outbound_{tap_, udp_, counters_};
  PeerTable table_;
  Directory directory_;
  PublishedPeers published_;
  PublishedPeers::View view_;
  std::vector<Upcall> upcalls_;
};

TEST_F(OutboundTest, AnswersForPresentMembersAndSendsNothing) {
  pump({arp(kSelfIp, kPeerIp), arp(kSelfIp, {0x0a000803}), arp({}, {0x0a000803})});
  EXPECT_EQ(tap_.written.size(), 3U);
  EXPECT_EQ(sent(), 0U);
  EXPECT_TRUE(upcalls_.empty());
}

TEST_F(OutboundTest, DoesNotAnswerForAbsentMembersOrUnusedAddresses) {
  pump({arp(kSelfIp, {0x0a000805}), arp(kSelfIp, {0x0a0008c8}), arp({}, kSelfIp), arp(kSelfIp, kSelfIp)});
  EXPECT_TRUE(tap_.written.empty());
  EXPECT_EQ(sent(), 0U);
  EXPECT_EQ(upcalls_.size(), 2U);
  EXPECT_EQ(upcalls<NobodyHas>().size(), 1U);
  ASSERT_EQ(upcalls<AbsentWanted>().size(), 1U);
  EXPECT_EQ(upcalls<AbsentWanted>()[0].owner, MemberId{5});
  EXPECT_EQ(drops(Drop::no_peer), 2U);
}

TEST_F(OutboundTest, AsksTheMembersThatMayHaveASharedAddress) {
  directory_.put({{2}, mac_of(2), kPeerIp, true, {*parse_ip_network("10.0.8.50")}});
  directory_.put({{4}, mac_of(4), {0x0a000804}, true, {*parse_ip_network("10.0.8.48/29")}});
  pump({arp(kSelfIp, kShared)});
  EXPECT_TRUE(tap_.written.empty());
  EXPECT_EQ(udp_.sent[kLive], 1U);
  ASSERT_EQ(upcalls<NeedSession>().size(), 1U);
  EXPECT_EQ(upcalls<NeedSession>()[0].peer, MemberId{4});
}

TEST_F(OutboundTest, BroadcastsToExistingSessionsAndLeavesTheOthersToTheNode) {
  pump({ethernet(kAll, 0x8137)});
  EXPECT_EQ(udp_.sent[kLive], 1U);
  EXPECT_TRUE(upcalls<NeedSession>().empty());
  ASSERT_EQ(upcalls<ForTheSilent>().size(), 1U);
  EXPECT_EQ(upcalls<ForTheSilent>()[0].served, (std::vector<MemberId>{{2}}));
}

TEST_F(OutboundTest, LeavesOutPeersThatDoNotListen) {
  Bytes frame = ethernet(*parse_mac("01:00:5e:01:02:03"), l2::kEtherIp4);
  frame[14] = std::byte{0x45};
  store_be16(frame.data() + 16, 46);
  store_be32(frame.data() + 26, kSelfIp.value);
  store_be32(frame.data() + 30, 0xef010203);
  PeerGroups& listens = table_.peers[0].activity->listens;
  const auto repeated = [&] {
    store_be16(frame.data() + 18, load_be16(frame.data() + 18) + 1U);
    pump({frame});
    return udp_.sent[kLive];
  };
  EXPECT_EQ(repeated(), 1U) << "it has not said anything";
  listens.told({false, {}}, kNow);
  EXPECT_EQ(repeated(), 1U);
  ASSERT_EQ(upcalls<ForTheSilent>().size(), 1U);
  EXPECT_EQ(upcalls<ForTheSilent>()[0].served, (std::vector<MemberId>{{2}})) << "nor is it silent";
  pump({ethernet(kAll, 0x8137)});
  EXPECT_EQ(udp_.sent[kLive], 2U) << "broadcasts are for all";
  listens.told({false, {*parse_mac("01:00:5e:01:02:03")}}, kNow);
  EXPECT_EQ(repeated(), 3U);
  listens.told({false, {}}, kNow);
  listens.forget();
  EXPECT_EQ(repeated(), 4U) << "it may have restarted";
  listens.told({false, {}}, kNow - kFilterLife);
  EXPECT_EQ(repeated(), 5U) << "that was long ago";
}

TEST_F(OutboundTest, SaysThatTheKernelReportedGroups) {
  Bytes report = ethernet(*parse_mac("01:00:5e:00:00:16"), l2::kEtherIp4);
  report[14] = std::byte{0x45};
  store_be16(report.data() + 16, 36);
  report[23] = std::byte{2};
  store_be32(report.data() + 26, kSelfIp.value);
  store_be32(report.data() + 30, 0xe0000016);
  report[34] = std::byte{0x22};
  pump({report});
  EXPECT_EQ(upcalls<GroupsReported>().size(), 1U);
  EXPECT_EQ(sent(), 0U);
}

TEST_F(OutboundTest, AnnouncesOnlyFurtherAddresses) {
  table_.self_further = {*parse_ip_network("10.0.8.50")};
  pump({arp(kSelfIp, kSelfIp), arp(kShared, kShared)});
  EXPECT_EQ(udp_.sent[kLive], 1U);
}

TEST_F(OutboundTest, WakesASilentMemberForItsFramesAndNobodyForUnknownMacs) {
  pump({ethernet(mac_of(3), 0x8137), ethernet(mac_of(99), 0x8137), ethernet(mac_of(5), 0x8137)});
  EXPECT_EQ(sent(), 0U);
  ASSERT_EQ(upcalls<NeedSession>().size(), 1U);
  EXPECT_EQ(upcalls<NeedSession>()[0].peer, MemberId{3});
  EXPECT_EQ(drops(Drop::no_peer), 2U);
}

TEST_F(OutboundTest, AFrameToAMachineGoesWhereItWasHeardOrToAllThatBridge) {
  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, true});
  directory_.put({{4}, mac_of(4), {0x0a000804}, true, {}, true});
  pump({ethernet(mac_of(99), 0x8137), arp(kSelfIp, {0x0a0008c8})});
  EXPECT_EQ(udp_.sent[kLive], 2U);
  ASSERT_EQ(upcalls<NeedSession>().size(), 2U);
  EXPECT_EQ(upcalls<NeedSession>()[0].peer, MemberId{4});

  table_.stations->learn(mac_of(99), mac_of(2), kNow);
  pump({ethernet(mac_of(99), 0x8137)});
  EXPECT_EQ(udp_.sent[kLive], 3U);
  EXPECT_TRUE(upcalls<NeedSession>().empty());

  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, false});
  pump({ethernet(mac_of(99), 0x8137)});
  EXPECT_EQ(udp_.sent[kLive], 3U) << "it may no longer bridge";
  EXPECT_EQ(upcalls<NeedSession>().size(), 1U);
}

TEST_F(OutboundTest, AMachineBehindThisComputerIsNotBehindAnotherMember) {
  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, true});
  table_.self_bridge = true;
  table_.stations->learn(mac_of(99), mac_of(2), kNow);
  pump({ethernet(kAll, 0x8137, 60, mac_of(99))});
  EXPECT_EQ(udp_.sent[kLive], 2U) << "it is announced, too";
  EXPECT_EQ(table_.stations->where(mac_of(99), kNow), Stations::kHere);
  EXPECT_EQ(table_.groups->twin, 2U) << "or that member bridges the same LAN";
  pump({ethernet(kPeer, 0x8137, 60, mac_of(3))});
  EXPECT_EQ(drops(Drop::spoofed_source), 1U) << "another member's MAC stays its own";
}

// A multicast router may be behind it, whose last query passed before this computer came.
TEST_F(OutboundTest, ReportsWhatProgramsListenToToAllThatBridge) {
  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, true});
  directory_.put({{4}, mac_of(4), {0x0a000804}, true, {}, true});
  const auto report = [](std::uint32_t group) {
    Bytes out = ethernet({{std::byte{1}, std::byte{0}, std::byte{0x5e}}}, l2::kEtherIp4);
    std::byte* ip = out.data() + l2::kEthernetSize;
    ip[0] = std::byte{0x45};
    store_be16(ip + 2, 28);
    ip[9] = std::byte{2};
    store_be32(ip + 12, kSelfIp.value);
    store_be32(ip + 16, group);
    ip[20] = std::byte{0x16};
    store_be32(ip + 24, group);
    return out;
  };
  pump({report(0xe00000fb)});
  EXPECT_EQ(udp_.sent[kLive], 1U);
  EXPECT_TRUE(upcalls<NeedSession>().empty()) << "the kernel's own groups";
  pump({report(0xeffffffa)});
  EXPECT_EQ(udp_.sent[kLive], 2U);
  ASSERT_EQ(upcalls<NeedSession>().size(), 1U);
  EXPECT_EQ(upcalls<NeedSession>()[0].peer, MemberId{4});
  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, false});
  directory_.put({{4}, mac_of(4), {0x0a000804}, true, {}, false});
  pump({report(0xeffffffa)});
  EXPECT_EQ(udp_.sent[kLive], 2U) << "nobody may bridge";
}

// Member 2 has a session, 3 has not, 4 has not and may bridge.
TEST_F(OutboundTest, AMachineIsAnnouncedOnceToThoseThatBridgeAndToAllWhenItHasMoved) {
  directory_.put({{2}, mac_of(2), kPeerIp, true, {}, false});
  directory_.put({{4}, mac_of(4), {0x0a000804}, true, {}, true});
  table_.self_bridge = true;
  const Bytes question = arp({0x0a0008c8}, kPeerIp, mac_of(99));
  pump({question});
  EXPECT_EQ(udp_.sent[kLive], 1U) << "the question is answered here";
  ASSERT_EQ(upcalls<NeedSession>().size(), 1U);
  EXPECT_EQ(upcalls<NeedSession>()[0].peer, MemberId{4});
  EXPECT_TRUE(upcalls<ForTheSilent>().empty());
  pump({question, question});
  EXPECT_EQ(udp_.sent[kLive], 1U) << "it was here already";

  table_.stations->learn(mac_of(99), mac_of(4), kNow);
  pump({question});
  EXPECT_EQ(udp_.sent[kLive], 2U);
  ASSERT_EQ(upcalls<ForTheSilent>().size(), 1U);
  const auto info = l2::parse_frame(upcalls<ForTheSilent>()[0].frame);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->src, mac_of(99));
  EXPECT_EQ(info->dst, kAll);
  EXPECT_EQ(info->ethertype, 0x8035);

  table_.groups->blocked_until = (kNow + kBlockFor).time_since_epoch().count();
  table_.stations->learn(mac_of(99), mac_of(4), kNow);
  pump({question});
  EXPECT_EQ(udp_.sent[kLive], 2U) << "not into a loop";
}

TEST_F(OutboundTest, AnnouncesAtMostSoManyMachinesAtOnce) {
  table_.self_bridge = true;
  std::vector<Bytes> frames;
  for (std::uint32_t n = 100; n < 200; ++n) frames.push_back(ethernet(mac_of(98), 0x8137, 60, mac_of(n)));
  pump(frames);
  EXPECT_EQ(udp_.sent[kLive], 65U);
}

TEST_F(OutboundTest, ReportsWhoseAddressWasRefused) {
  pump({ethernet(kAll, 0x8137, 60, mac_of(3)), ethernet(kAll, 0x8137, 60, mac_of(98))});
  EXPECT_EQ(drops(Drop::spoofed_source), 2U);
  ASSERT_EQ(upcalls<FrameRefused>().size(), 1U);
  EXPECT_EQ(upcalls<FrameRefused>()[0].owner, MemberId{3});
  EXPECT_EQ(upcalls<FrameRefused>()[0].refusal.mac, mac_of(3));
}

TEST_F(OutboundTest, SendsNoMoreToGroupsThanTheLimit) {
  std::vector<Bytes> flood(5000, ethernet(kAll, 0x8137));
  for (std::uint32_t n = 0; n < flood.size(); ++n) store_be32(flood[n].data() + 20, n);
  pump(flood);
  EXPECT_EQ(udp_.sent[kLive], 501U);
  EXPECT_EQ(drops(Drop::rate_limited), 4499U);
  EXPECT_EQ(upcalls<TooManyGroupFrames>().size(), 1U);
}

TEST_F(OutboundTest, BlocksLoopingFrames) {
  pump(std::vector<Bytes>(5000, ethernet(kAll, 0x8137)));
  EXPECT_LT(udp_.sent[kLive], 100U);
  EXPECT_EQ(upcalls<LoopSeen>().size(), 1U);
  EXPECT_GT(drops(Drop::bridge_loop), 4900U);
}

TEST_F(OutboundTest, AnnouncesMovedAddressesToTheKernel) {
  directory_.announce(kPeer);
  pump({});
  EXPECT_EQ(tap_.written.size(), 2U);
  pump({});
  EXPECT_EQ(tap_.written.size(), 2U);
}

}  // namespace
}  // namespace eps::dataplane
