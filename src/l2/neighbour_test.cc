// SPDX-License-Identifier: MIT
#include "l2/neighbour.h"

#include <gtest/gtest.h>

#include "l2/checksum.h"
#include "l2/frames_fixture.h"

namespace eps::l2::test {
namespace {

using Kind = LinkMessage::Kind;

const IpAddress kAsker = IpAddress::from_v4(kSelfIp);
const IpAddress kAsked = IpAddress::from_v4(kPeerIp);
constexpr Mac kAll{
    {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}}};

Bytes ethernet(const Mac& dst, const Mac& src, std::uint16_t type, bool vlan = false) {
  Bytes out;
  Writer w(out);
  w.bytes(dst.bytes);
  w.bytes(src.bytes);
  if (vlan) {
    w.u16(kEtherVlan);
    w.u16(7);
  }
  w.u16(type);
  return out;
}

Bytes arp(std::uint16_t operation, Ip4 sender, Ip4 target, bool vlan = false) {
  Bytes out = ethernet(kAll, kSelf, kEtherArp, vlan);
  Writer w(out);
  w.u16(1);
  w.u16(kEtherIp4);
  w.u8(6);
  w.u8(4);
  w.u16(operation);
  w.bytes(kSelf.bytes);
  w.u32(sender.value);
  w.bytes(Mac{}.bytes);
  w.u32(target.value);
  return out;
}

Bytes icmp6(const IpAddress& source, Bytes message, bool hop_by_hop = false) {
  Bytes out = ethernet(kAll, kSelf, kEtherIp6);
  Writer w(out);
  w.u32(0x60000000);
  w.u16(static_cast<std::uint16_t>(message.size() + (hop_by_hop ? 8 : 0)));
  w.u8(hop_by_hop ? 0 : kProtocolIcmp6);
  w.u8(255);
  w.bytes(source.bytes);
  w.bytes(parse_ip("ff02::1")->bytes);
  if (hop_by_hop) {  // router alert (RFC 2711), as MLD has it
    w.u8(kProtocolIcmp6);
    w.u8(0);
    w.u32(0x05020000);
    w.u16(0x0100);
  }
  w.bytes(message);
  return out;
}

Bytes solicitation(const IpAddress& target) {
  Bytes out;
  Writer w(out);
  w.u8(135);
  w.u8(0);
  w.u16(0);
  w.u32(0);
  w.bytes(target.bytes);
  return out;
}

LinkMessage read(const Bytes& frame) {
  return read_link_message(frame, *parse_frame(frame));
}

TEST(Neighbour, ReadsQuestionsProbesAndAnnouncements) {
  EXPECT_EQ(read(arp(1, kSelfIp, kPeerIp)).kind, Kind::question);
  EXPECT_EQ(read(arp(1, kSelfIp, kPeerIp)).about, kAsked);
  EXPECT_EQ(read(arp(1, {}, kPeerIp)).kind, Kind::probe);
  EXPECT_EQ(read(arp(1, kSelfIp, kSelfIp)).kind, Kind::announcement);
  EXPECT_EQ(read(arp(2, kSelfIp, kSelfIp)).kind, Kind::announcement);
  EXPECT_EQ(read(arp(2, kSelfIp, kPeerIp)).kind, Kind::none);
  const IpAddress own = eui64_link_local(kSelf), other = eui64_link_local(kPeer);
  EXPECT_EQ(read(icmp6(own, solicitation(other))).kind, Kind::question);
  EXPECT_EQ(read(icmp6(own, solicitation(other))).about, other);
  EXPECT_EQ(read(icmp6({}, solicitation(own))).kind, Kind::probe);
}

TEST(Neighbour, ReadsMessagesThatTheKernelSendsByItself) {
  const auto kind_of = [](std::uint8_t type) {
    return read(icmp6(eui64_link_local(kSelf), Bytes(24, static_cast<std::byte>(type)), true)).kind;
  };
  EXPECT_EQ(kind_of(133), Kind::router_search);
  EXPECT_EQ(kind_of(143), Kind::membership);
  EXPECT_EQ(kind_of(131), Kind::membership);
  EXPECT_EQ(kind_of(132), Kind::membership);
  EXPECT_EQ(kind_of(130), Kind::query);
  EXPECT_EQ(kind_of(128), Kind::none);  // a ping
}

// What a program joined, among what kernels join by themselves.
TEST(Neighbour, ReadsWhichReportsAreAboutGroupsBeyondTheLink) {
  struct Record {
    const char* group;
    std::uint16_t sources = 0;
  };
  const auto records = [](std::uint8_t type, const std::vector<Record>& of) {
    Bytes out;
    Writer w(out);
    w.u8(type);
    w.u8(0);
    w.u32(0);
    w.u16(static_cast<std::uint16_t>(of.size()));
    for (const Record& r : of) {
      const IpAddress group = *parse_ip(r.group);
      const ByteView address = group.is_v4() ? ByteView(group.bytes).last(4) : ByteView(group.bytes);
      w.u8(4);
      w.u8(0);
      w.u16(r.sources);
      w.bytes(address);
      for (int i = 0; i < r.sources; ++i) w.bytes(address);
    }
    return out;
  };
  const auto mld = [&](const std::vector<Record>& of, std::size_t cut = 0) {
    Bytes message = records(143, of);
    message.resize(message.size() - cut);
    const LinkMessage read_one = read(icmp6(eui64_link_local(kSelf), message, true));
    EXPECT_EQ(read_one.kind, Kind::membership);
    return read_one.beyond_link;
  };
  EXPECT_FALSE(mld({{"ff02::fb"}, {"ff02::1:ff00:1"}, {"ff01::1"}}));
  EXPECT_TRUE(mld({{"ff02::fb"}, {"ff05::c"}}));
  EXPECT_TRUE(mld({{"ff02::fb", 2}, {"ff1e::1234"}}));
  EXPECT_FALSE(mld({{"ff02::fb", 2}, {"ff1e::1234"}}, 4)) << "cut off";
  EXPECT_FALSE(mld({}));
  Bytes first_version(24);
  first_version[0] = std::byte{131};
  std::ranges::copy(parse_ip("ff05::c")->bytes, first_version.begin() + 8);
  EXPECT_TRUE(read(icmp6(eui64_link_local(kSelf), first_version, true)).beyond_link);
  const auto igmp = [&](const Bytes& message) {
    Spec spec;
    spec.protocol = 2;
    spec.payload = message;
    Bytes frame = build(spec);
    std::ranges::copy(message, frame.begin() + kEthernetSize + 20);
    const LinkMessage read_one = read(frame);
    EXPECT_EQ(read_one.kind, Kind::membership);
    return read_one.beyond_link;
  };
  EXPECT_FALSE(igmp(records(0x22, {{"224.0.0.251"}})));
  EXPECT_TRUE(igmp(records(0x22, {{"224.0.0.251"}, {"239.255.255.250"}})));
  Bytes second_version(8);
  second_version[0] = std::byte{0x16};
  store_be32(second_version.data() + 4, 0xeffffffa);
  EXPECT_TRUE(igmp(second_version));
  store_be32(second_version.data() + 4, 0xe00000fb);
  EXPECT_FALSE(igmp(second_version));
}

TEST(Neighbour, KnowsWhatIsForListenersOnly) {
  const auto for_listeners = [](const char* group, const char* mac) {
    const IpAddress to = *parse_ip(group);
    Spec spec;
    spec.dst = *parse_mac(mac);
    spec.version = to.is_v4() ? 4 : 6;
    spec.protocol = kProtocolUdp;
    Bytes frame = build(spec);
    const ByteView address = to.is_v4() ? ByteView(to.bytes).last(4) : ByteView(to.bytes);
    std::ranges::copy(address, frame.begin() + kEthernetSize + (to.is_v4() ? 16 : 24));
    const FrameInfo info = *parse_frame(frame);
    return is_for_listeners(info, frame.data() + info.l3_offset);
  };
  EXPECT_TRUE(for_listeners("239.255.255.250", "01:00:5e:7f:ff:fa"));
  EXPECT_TRUE(for_listeners("224.0.1.129", "01:00:5e:00:01:81"));
  EXPECT_TRUE(for_listeners("239.0.0.251", "01:00:5e:00:00:fb")) << "only its MAC is like that of 224.0.0.251";
  EXPECT_FALSE(for_listeners("224.0.0.251", "01:00:5e:00:00:fb"));
  EXPECT_TRUE(for_listeners("ff05::c", "33:33:00:00:00:0c"));
  EXPECT_TRUE(for_listeners("ff1e::1234", "33:33:00:00:12:34"));
  EXPECT_FALSE(for_listeners("ff02::fb", "33:33:00:00:00:fb"));
  EXPECT_FALSE(for_listeners("ff02::1:ff00:1", "33:33:ff:00:00:01"));
  EXPECT_FALSE(for_listeners("239.255.255.250", "ff:ff:ff:ff:ff:ff"));
  EXPECT_FALSE(for_listeners("10.0.8.2", "01:00:5e:7f:00:01")) << "a cluster of servers with one address";
  const Bytes other = ethernet(*parse_mac("01:80:c2:00:00:0e"), kSelf, 0x88cc);
  EXPECT_FALSE(is_for_listeners(*parse_frame(other), other.data() + kEthernetSize));
}

TEST(Neighbour, AnswersArpAsTheOwnerWould) {
  for (const bool vlan : {false, true}) {
    const Bytes question = arp(1, kSelfIp, kPeerIp, vlan);
    LinkFrame room;
    const ByteView answer = write_answer(question, *parse_frame(question), read(question), kPeer, room);
    const auto info = parse_frame(answer);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->dst, kSelf);
    EXPECT_EQ(info->vlan, vlan);
    EXPECT_EQ(check_source(answer, *info, {kPeer, kPeerIp}), Drop::none);
    const std::byte* p = answer.data() + info->l3_offset;
    EXPECT_EQ(load_be16(p + 6), 2);
    EXPECT_EQ(load_be32(p + 14), kPeerIp.value);
    EXPECT_EQ(load_be32(p + 24), kSelfIp.value);
  }
}

TEST(Neighbour, AnswersASolicitationAsTheOwnerWould) {
  const IpAddress own = eui64_link_local(kSelf), other = eui64_link_local(kPeer);
  for (const IpAddress& asker : {own, IpAddress{}}) {
    const Bytes question = icmp6(asker, solicitation(other));
    LinkFrame room;
    const ByteView answer = write_answer(question, *parse_frame(question), read(question), kPeer, room);
    const auto info = parse_frame(answer);
    ASSERT_TRUE(info);
    EXPECT_EQ(check_source(answer, *info, {kPeer, kPeerIp}), Drop::none);
    const std::byte* ip = answer.data() + info->l3_offset;
    EXPECT_TRUE(verifies(add_bytes(pseudo_header_sum(6, ip, kProtocolIcmp6, 32), answer.subspan(info->l4_offset))));
    EXPECT_EQ(load_be32(ip + kIp6Size + 4), asker.is_unspecified() ? 0x20000000U : 0x60000000U);
  }
}

TEST(Neighbour, AnnouncesAnAddress) {
  LinkFrame room;
  for (const IpAddress& address : {kAsked, eui64_link_local(kPeer)}) {
    const ByteView said = write_announcement(address, kPeer, room);
    const auto info = parse_frame(said);
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->dst.is_group());
    EXPECT_EQ(check_source(said, *info, {kPeer, kPeerIp}), Drop::none);
    const LinkMessage message = read_link_message(said, *info);
    EXPECT_EQ(message.kind, Kind::announcement);
    EXPECT_EQ(message.about, address);
  }
}

TEST(Neighbour, ShowsSwitchesWhereAMachineIs) {
  for (const bool vlan : {false, true}) {
    const Bytes heard = ethernet(kSelf, kPeer, 0x8137, vlan);
    LinkFrame room;
    const ByteView said = write_presence(heard, *parse_frame(heard), room);
    const auto info = parse_frame(said);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->dst, kAll);
    EXPECT_EQ(info->src, kPeer);
    EXPECT_EQ(info->ethertype, 0x8035);
    EXPECT_TRUE(std::ranges::equal(said.subspan(12, info->l3_offset - 14), ByteView(heard).subspan(12, vlan ? 4 : 0)));
    EXPECT_EQ(check_source(said, *info, {kPeer, kPeerIp}), Drop::none);
    EXPECT_EQ(read_link_message(said, *info).kind, Kind::none) << "nobody answers or keeps it";
  }
}

}  // namespace
}  // namespace eps::l2::test
