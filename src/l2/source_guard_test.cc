// SPDX-License-Identifier: MIT
#include "l2/source_guard.h"

#include <gtest/gtest.h>

#include "l2/frames_fixture.h"
#include "wire/datagram.h"

namespace eps::l2 {
namespace {

using test::build;
using test::kPeer;
using test::kSelf;
using test::kSelfIp;
using test::Spec;

// The verdict on a frame, and, if their forms differ, on the same frame as a datagram carries it.
Drop verdict(ByteView frame) {
  const auto info = parse_frame(frame);
  if (!info) return Drop::malformed;
  const Drop drop = check_source(frame, *info, {kSelf, kSelfIp});
  Bytes plain{std::byte{static_cast<std::uint8_t>(wire::Kind::frame)}};
  plain.insert(plain.end(), frame.begin(), frame.end());
  test::Received received(plain);
  Inner inner;
  EXPECT_EQ(received.decode(inner), Drop::none);
  EXPECT_EQ(check_source(inner, {kSelf, kSelfIp}), drop);
  return drop;
}

Drop bridged(ByteView frame);  // the verdict where the owner may bridge

Bytes tagged(Bytes frame) {
  const Bytes tag = *from_hex("81000064");
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  return frame;
}

Bytes arp(const Mac& src, const Mac& sender, Ip4 sender_ip) {
  Bytes out;
  Writer w(out);
  w.bytes(kPeer.bytes);
  w.bytes(src.bytes);
  w.u16(kEtherArp);
  w.u16(1);
  w.u16(kEtherIp4);
  w.u16(0x0604);
  w.u16(1);
  w.bytes(sender.bytes);
  w.u32(sender_ip.value);
  w.bytes(Mac{}.bytes);
  w.u32(test::kPeerIp.value);
  return out;
}

IpAddress own_ip6() {
  return eui64_link_local(kSelf);
}
IpAddress other_ip6() {
  return eui64_link_local(kPeer);
}

Bytes ip6(const IpAddress& source, std::uint8_t next, const Bytes& content) {
  Bytes out;
  Writer w(out);
  w.bytes(kPeer.bytes);
  w.bytes(kSelf.bytes);
  w.u16(kEtherIp6);
  w.u32(0x60000000);
  w.u16(static_cast<std::uint16_t>(content.size()));
  w.u8(next);
  w.u8(255);
  w.bytes(source.bytes);
  w.bytes(other_ip6().bytes);
  w.bytes(content);
  return out;
}

// A neighbour discovery message: header, a target (or nothing), options.
Bytes discovery(std::uint8_t type, std::size_t fixed, const IpAddress* target, const Bytes& options) {
  Bytes out(fixed);
  out[0] = std::byte{type};
  if (target != nullptr) std::ranges::copy(target->bytes, out.begin() + 8);
  out.insert(out.end(), options.begin(), options.end());
  return out;
}

Bytes link_layer_option(std::uint8_t type, const Mac& mac) {
  Bytes out{std::byte{type}, std::byte{1}};
  out.insert(out.end(), mac.bytes.begin(), mac.bytes.end());
  return out;
}

TEST(SourceGuard, MakesTheLinkLocalAddressOfAMac) {
  EXPECT_EQ(to_string(eui64_link_local(*parse_mac("02:11:22:33:44:01"))), "fe80::11:22ff:fe33:4401");
  EXPECT_EQ(to_string(eui64_link_local(*parse_mac("34:56:78:9a:bc:de"))), "fe80::3656:78ff:fe9a:bcde");
}

TEST(SourceGuard, TheEthernetSourceIsTheOwner) {
  Spec spec;
  EXPECT_EQ(verdict(build(spec)), Drop::none);
  spec.src = kPeer;
  EXPECT_EQ(verdict(build(spec)), Drop::spoofed_source);
  Bytes other(60);
  EXPECT_EQ(verdict(other), Drop::spoofed_source);
  std::ranges::copy(kSelf.bytes, other.begin() + 6);
  store_be16(&other[12], 0x88cc);
  EXPECT_EQ(verdict(other), Drop::none);
}

TEST(SourceGuard, AGroupIsNotAValidSource) {
  Mac group = kSelf;
  group.bytes[0] |= std::byte{1};
  Spec spec;
  spec.src = group;
  const Bytes frame = build(spec);
  EXPECT_EQ(check_source(frame, *parse_frame(frame), {group, kSelfIp}), Drop::spoofed_source);
}

TEST(SourceGuard, TheIp4SourceIsTheOwner) {
  for (const bool vlan : {false, true}) {
    Spec spec;
    spec.vlan = vlan;
    Bytes frame = build(spec);
    EXPECT_EQ(verdict(frame), Drop::none);
    const std::size_t source = parse_frame(frame)->l3_offset + 12;
    for (const std::uint32_t ip : {0U, 0x0a000802U, 0xffffffffU}) {
      store_be32(&frame[source], ip);
      EXPECT_EQ(verdict(frame), Drop::spoofed_source);
    }
  }
}

TEST(SourceGuard, AnArpSenderIsTheOwner) {
  EXPECT_EQ(verdict(arp(kSelf, kSelf, kSelfIp)), Drop::none);
  EXPECT_EQ(verdict(arp(kSelf, kSelf, Ip4{0})), Drop::none);  // a probe
  EXPECT_EQ(verdict(arp(kSelf, kPeer, kSelfIp)), Drop::spoofed_source);
  EXPECT_EQ(verdict(arp(kSelf, kSelf, test::kPeerIp)), Drop::spoofed_source);
  EXPECT_EQ(verdict(arp(kPeer, kSelf, kSelfIp)), Drop::spoofed_source);
  EXPECT_EQ(verdict(tagged(arp(kSelf, kSelf, kSelfIp))), Drop::none);
  EXPECT_EQ(verdict(tagged(arp(kSelf, kSelf, test::kPeerIp))), Drop::spoofed_source);
}

TEST(SourceGuard, ArpOfOtherKindsIsMalformed) {
  const Bytes good = arp(kSelf, kSelf, kSelfIp);
  for (const std::size_t at : {15U, 16U, 18U, 19U}) {  // hardware and protocol types, address sizes
    Bytes frame = good;
    frame[at] ^= std::byte{1};
    EXPECT_EQ(verdict(frame), Drop::malformed) << at;
  }
  EXPECT_EQ(verdict(ByteView(good).first(good.size() - 1)), Drop::malformed);
}

TEST(SourceGuard, TheIp6SourceIsLinkLocalOrNothing) {
  EXPECT_EQ(verdict(ip6(own_ip6(), 59, {})), Drop::none);
  EXPECT_EQ(verdict(ip6(IpAddress{}, 59, {})), Drop::none);
  EXPECT_EQ(verdict(ip6(other_ip6(), 59, {})), Drop::spoofed_source);
  EXPECT_EQ(verdict(ip6(*parse_ip("2001:db8::1"), 59, {})), Drop::spoofed_source);
  EXPECT_EQ(verdict(tagged(ip6(own_ip6(), 59, {}))), Drop::none);
  EXPECT_EQ(verdict(tagged(ip6(other_ip6(), 59, {}))), Drop::spoofed_source);
}

TEST(SourceGuard, AdvertisementsSpeakOfTheOwner) {
  const IpAddress own = own_ip6();
  const IpAddress other = other_ip6();
  const auto advert = [&](const IpAddress& target, const Bytes& options) {
    return verdict(ip6(own, kProtocolIcmp6, discovery(136, 24, &target, options)));
  };
  EXPECT_EQ(advert(own, {}), Drop::none);
  EXPECT_EQ(advert(own, link_layer_option(2, kSelf)), Drop::none);
  EXPECT_EQ(advert(other, {}), Drop::spoofed_source);
  EXPECT_EQ(advert(own, link_layer_option(2, kPeer)), Drop::spoofed_source);
  // The wrong one hides behind another option.
  Bytes two(16);
  two[0] = std::byte{14};  // nonce
  two[1] = std::byte{2};
  const Bytes wrong = link_layer_option(2, kPeer);
  two.insert(two.end(), wrong.begin(), wrong.end());
  EXPECT_EQ(advert(own, two), Drop::spoofed_source);
  // Options that end too soon or do not advance.
  EXPECT_EQ(advert(own, Bytes(4, std::byte{1})), Drop::malformed);
  EXPECT_EQ(advert(own, Bytes(8)), Drop::malformed);
  EXPECT_EQ(advert(own, {std::byte{14}, std::byte{2}, {}, {}, {}, {}, {}, {}}), Drop::malformed);
  EXPECT_EQ(verdict(ip6(own, kProtocolIcmp6, discovery(136, 23, nullptr, {}))), Drop::malformed);
}

TEST(SourceGuard, SolicitationsSpeakOfTheOwner) {
  const IpAddress own = own_ip6();
  const IpAddress other = other_ip6();
  const IpAddress nobody;
  const auto solicit = [&](const IpAddress& source, const IpAddress& target, const Bytes& options) {
    return verdict(ip6(source, kProtocolIcmp6, discovery(135, 24, &target, options)));
  };
  EXPECT_EQ(solicit(own, other, link_layer_option(1, kSelf)), Drop::none);
  EXPECT_EQ(solicit(own, other, link_layer_option(1, kPeer)), Drop::spoofed_source);
  // Duplicate address detection: for the own address only, or it would disturb another's.
  EXPECT_EQ(solicit(nobody, own, {}), Drop::none);
  EXPECT_EQ(solicit(nobody, other, {}), Drop::spoofed_source);
}

TEST(SourceGuard, NoMemberIsTheRouter) {
  for (const auto& [type, fixed] : {std::pair{134, 16}, {137, 40}}) {
    const Bytes message = discovery(static_cast<std::uint8_t>(type), static_cast<std::size_t>(fixed), nullptr, {});
    EXPECT_EQ(verdict(ip6(own_ip6(), kProtocolIcmp6, message)), Drop::spoofed_source) << type;
  }
}

TEST(SourceGuard, OtherDiscoveryOptionsAreTheOwners) {
  const auto message = [](std::uint8_t type, std::size_t fixed, const Bytes& options) {
    return verdict(ip6(own_ip6(), kProtocolIcmp6, discovery(type, fixed, nullptr, options)));
  };
  EXPECT_EQ(message(133, 8, link_layer_option(1, kSelf)), Drop::none);
  EXPECT_EQ(message(133, 8, link_layer_option(1, kPeer)), Drop::spoofed_source);
  EXPECT_EQ(message(128, 8, link_layer_option(1, kPeer)), Drop::none);  // an echo request's content
}

TEST(SourceGuard, DiscoveryBehindExtensionHeadersIsSeen) {
  const IpAddress other = other_ip6();
  Bytes content(8);  // destination options
  content[0] = std::byte{kProtocolIcmp6};
  const Bytes advert = discovery(136, 24, &other, {});
  content.insert(content.end(), advert.begin(), advert.end());
  EXPECT_EQ(verdict(ip6(own_ip6(), 60, content)), Drop::spoofed_source);
}

TEST(SourceGuard, FragmentedDiscoveryIsRefused) {
  const IpAddress own = own_ip6();
  Bytes content(8);  // a fragment header: offset 0
  content[0] = std::byte{kProtocolIcmp6};
  const Bytes advert = discovery(136, 24, &own, {});
  content.insert(content.end(), advert.begin(), advert.end());
  EXPECT_EQ(verdict(ip6(own, 44, content)), Drop::malformed);
  content[3] = std::byte{8};  // a later fragment: its first byte is no type
  EXPECT_EQ(verdict(ip6(own, 44, content)), Drop::none);
  EXPECT_EQ(verdict(ip6(own, kProtocolIcmp6, {})), Drop::none);
}

// An IPv4 packet of the owner that carries this; `fragment` are its flags and its offset.
Bytes ip4(std::uint8_t protocol, const Bytes& content, std::uint16_t fragment = 0) {
  Bytes out;
  Writer w(out);
  w.bytes(kPeer.bytes);
  w.bytes(kSelf.bytes);
  w.u16(kEtherIp4);
  w.u16(0x4500);
  w.u16(static_cast<std::uint16_t>(kIp4Size + content.size()));
  w.u16(7);
  w.u16(fragment);
  w.u8(64);
  w.u8(protocol);
  w.u16(0);
  w.u32(kSelfIp.value);
  w.u32(test::kPeerIp.value);
  w.bytes(content);
  return out;
}

Bytes message_of(std::uint8_t type, std::size_t size = 40) {
  Bytes out(size);
  if (size != 0) out[0] = std::byte{type};
  return out;
}

constexpr std::uint16_t kMoreFragments = 0x2000;

TEST(SourceGuard, NoMemberRedirectsIp4OrAdvertisesItsRouter) {
  for (const std::uint8_t type : {5, 9}) {
    EXPECT_EQ(verdict(ip4(1, message_of(type))), Drop::spoofed_source) << int{type};
    EXPECT_EQ(verdict(tagged(ip4(1, message_of(type)))), Drop::spoofed_source) << int{type};
    EXPECT_EQ(verdict(ip4(1, message_of(type), kMoreFragments)), Drop::spoofed_source) << int{type};
    EXPECT_EQ(bridged(ip4(1, message_of(type))), Drop::spoofed_source) << int{type};
    EXPECT_EQ(verdict(ip4(1, message_of(type), 1)), Drop::none) << "in a later fragment it is no type";
    EXPECT_EQ(verdict(ip4(17, message_of(type), kMoreFragments)), Drop::none);
  }
  for (const std::uint8_t type : {0, 3, 8, 10, 11}) EXPECT_EQ(verdict(ip4(1, message_of(type))), Drop::none);
  EXPECT_EQ(verdict(ip4(1, {})), Drop::none);
}

TEST(SourceGuard, QueriesForGroupsAreForBridges) {
  const auto mld = [](std::uint8_t type) { return ip6(own_ip6(), kProtocolIcmp6, message_of(type, 24)); };
  for (const auto& frame : {ip4(2, message_of(0x11, 8)), ip4(2, message_of(0x11, 8), kMoreFragments), mld(130)}) {
    EXPECT_EQ(verdict(frame), Drop::spoofed_source);
    EXPECT_EQ(bridged(frame), Drop::none);
  }
  for (const auto& report : {ip4(2, message_of(0x16, 8)), ip4(2, message_of(0x22, 8)), mld(131), mld(143)}) {
    EXPECT_EQ(verdict(report), Drop::none);
  }
}

// A fragment header that leads to `next`, at the offset 8 * at.
Bytes fragment6(std::uint8_t next, const Bytes& content, std::uint16_t at = 0) {
  Bytes out(8);
  out[0] = std::byte{next};
  store_be16(&out[2], static_cast<std::uint16_t>(at << 3 | 1));
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

// Destination options without any, of 8 bytes or more.
Bytes options_before(std::uint8_t next, const Bytes& content, std::uint8_t more = 0) {
  Bytes out(8 + std::size_t{more} * 8);
  out[0] = std::byte{next};
  out[1] = std::byte{more};
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

TEST(SourceGuard, AFragmentHidesNoRouter) {
  const IpAddress own = own_ip6();
  for (const std::uint8_t type : {134, 137, 130}) {
    const Bytes bad = message_of(type);
    EXPECT_EQ(verdict(ip6(own, 44, fragment6(kProtocolIcmp6, bad))), Drop::spoofed_source) << int{type};
    EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, options_before(kProtocolIcmp6, bad)))), Drop::spoofed_source);
    EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, options_before(60, options_before(kProtocolIcmp6, bad, 2))))),
              Drop::spoofed_source);
    EXPECT_EQ(verdict(ip6(own, 60, options_before(44, fragment6(kProtocolIcmp6, bad)))), Drop::spoofed_source);
    EXPECT_EQ(verdict(ip6(own, 44, fragment6(44, fragment6(kProtocolIcmp6, bad)))), Drop::spoofed_source);
    EXPECT_EQ(verdict(ip6(own, 44, fragment6(kProtocolIcmp6, bad, 5))), Drop::none) << "no first fragment";
  }
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(kProtocolIcmp6, message_of(128)))), Drop::none) << "a large ping";
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, options_before(17, Bytes(16))))), Drop::none);
}

// What follows in a later fragment would not be seen (RFC 7112).
TEST(SourceGuard, AFirstFragmentShowsWhatItCarries) {
  const IpAddress own = own_ip6();
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, Bytes(4)))), Drop::malformed);
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, options_before(60, {}, 0)))), Drop::malformed);
  Bytes longer = options_before(kProtocolIcmp6, {}, 3);
  longer.resize(16);
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, longer))), Drop::malformed);
  EXPECT_EQ(verdict(ip6(own, 44, fragment6(60, longer, 1))), Drop::none);
}

Bytes frame_to(std::string_view mac, std::uint16_t ethertype) {
  Bytes out(60);
  std::ranges::copy(parse_mac(mac)->bytes, out.begin());
  std::ranges::copy(kSelf.bytes, out.begin() + 6);
  store_be16(&out[12], ethertype);
  return out;
}

TEST(SourceGuard, FramesFromBridgeToBridgeAreForBridges) {
  for (const char* group : {"01:80:c2:00:00:00", "01:80:c2:00:00:02", "01:80:c2:00:00:03", "01:80:c2:00:00:0e",
                            "01:80:c2:00:00:0f", "01:00:0c:cc:cc:cc", "01:00:0c:cc:cc:cd"}) {
    for (const std::uint16_t type : {0x0026, 0x8809, 0x88cb, 0x888e}) {
      EXPECT_EQ(verdict(frame_to(group, type)), Drop::spoofed_source) << group;
      EXPECT_EQ(bridged(frame_to(group, type)), Drop::none) << group;
    }
  }
  EXPECT_EQ(verdict(frame_to("01:80:c2:00:00:0e", 0x88cc)), Drop::none) << "LLDP";
  for (const char* other : {"01:80:c2:00:00:10", "01:80:c2:00:01:00", "01:00:5e:00:00:01", "33:33:00:00:00:01"}) {
    EXPECT_EQ(verdict(frame_to(other, 0x88cc)), Drop::none) << other;
  }
}

TEST(SourceGuard, HeadersThatHideASourceAreForBridges) {
  for (const std::uint16_t type : {0x8847, 0x8848, 0x88e7, 0x9100, 0x9200, 0x9300}) {
    const Bytes frame = frame_to("ff:ff:ff:ff:ff:ff", type);
    EXPECT_EQ(verdict(frame), Drop::spoofed_source) << type;
    EXPECT_EQ(verdict(tagged(frame)), Drop::spoofed_source) << type;
    EXPECT_EQ(bridged(frame), Drop::none) << type;
    const auto info = parse_frame(frame);
    Refusal why;
    EXPECT_EQ(check_source(frame, *info, {kSelf, kSelfIp}, &why), Drop::spoofed_source);
    EXPECT_EQ(why.what, Refusal::What::hidden);
    EXPECT_EQ(why.ethertype, type);
  }
}

TEST(SourceGuard, NothingIsHiddenInSnap) {
  const auto snap = [](std::string_view header, std::uint16_t type) {
    Bytes frame = frame_to("33:33:00:00:00:01", 46);
    const Bytes bytes = *from_hex(header);
    std::ranges::copy(bytes, frame.begin() + 14);
    store_be16(&frame[20], type);
    return frame;
  };
  for (const char* header : {"aaaa03000000", "aaaa030000f8"}) {
    for (const std::uint16_t type : {kEtherIp4, kEtherArp, kEtherIp6, kEtherVlan, kEtherServiceVlan}) {
      EXPECT_EQ(verdict(snap(header, type)), Drop::malformed) << header << type;
      EXPECT_EQ(verdict(tagged(snap(header, type))), Drop::malformed) << header << type;
      EXPECT_EQ(bridged(snap(header, type)), Drop::malformed) << header << type;
    }
    EXPECT_EQ(verdict(snap(header, 0x8137)), Drop::none) << "IPX";
  }
  EXPECT_EQ(verdict(snap("aaaa03080007", kEtherIp6)), Drop::none) << "another organisation's number";
  EXPECT_EQ(verdict(snap("e0e003000000", kEtherIp6)), Drop::none) << "no SNAP";
  EXPECT_EQ(verdict(frame_to("33:33:00:00:00:01", 46)), Drop::none);
}

TEST(SourceGuard, AnAuthenticationHeaderHidesNoRouter) {
  const IpAddress own = own_ip6(), other = other_ip6();
  const auto authenticated = [](const Bytes& content, std::uint8_t next = kProtocolIcmp6) {
    Bytes out(24);
    out[0] = std::byte{next};
    out[1] = std::byte{4};
    out.insert(out.end(), content.begin(), content.end());
    return out;
  };
  EXPECT_EQ(verdict(ip6(own, 51, authenticated(message_of(134)))), Drop::spoofed_source);
  EXPECT_EQ(verdict(ip6(own, 51, authenticated(discovery(136, 24, &other, {})))), Drop::spoofed_source);
  EXPECT_EQ(verdict(ip6(own, 51, authenticated(discovery(136, 24, &own, {})))), Drop::none);
  EXPECT_EQ(verdict(ip6(own, 51, authenticated(Bytes(40), kProtocolTcp))), Drop::none);
  Bytes cut = authenticated(message_of(134));
  cut.resize(20);
  EXPECT_EQ(verdict(ip6(own, 51, cut)), Drop::malformed);
}

TEST(SourceGuard, ATagWithinATagIsRefused) {
  Bytes frame = tagged(tagged(build({})));
  EXPECT_EQ(verdict(frame), Drop::malformed);
  store_be16(&frame[16], kEtherServiceVlan);
  EXPECT_EQ(verdict(frame), Drop::malformed);
}

TEST(SourceGuard, TheAddressInTheNetworksPrefixIsOwned) {
  const IpAddress own = *parse_ip("fd43::1"), other = *parse_ip("fd43::2");
  const auto judge = [&](const Bytes& frame) {
    return check_source(frame, *parse_frame(frame), {kSelf, kSelfIp, {}, nullptr, own});
  };
  EXPECT_EQ(judge(ip6(own, 59, {})), Drop::none);
  EXPECT_EQ(judge(ip6(own, kProtocolIcmp6, discovery(136, 24, &own, {}))), Drop::none);
  EXPECT_EQ(judge(ip6(other, 59, {})), Drop::spoofed_source);
  const IpAddress none;
  EXPECT_EQ(verdict(ip6(own_ip6(), kProtocolIcmp6, discovery(136, 24, &none, {}))), Drop::spoofed_source);
}

// kPeer is another member.
class PeerOnly final : public Others {
 public:
  bool hold(const Mac& mac) const override { return mac == kPeer; }
  bool hold(const IpAddress& address) const override {
    return address == IpAddress::from_v4(test::kPeerIp) || address == other_ip6();
  }
};

Drop bridged(ByteView frame) {
  const PeerOnly others;
  return check_source(frame, *parse_frame(frame), {kSelf, kSelfIp, {}, &others, {}, true});
}

TEST(SourceGuard, BehindABridgeIsEverythingButOtherMembers) {
  const Mac machine = test::mac_of(9);
  const Ip4 address{kSelfIp.value + 8};
  EXPECT_EQ(bridged(arp(machine, machine, address)), Drop::none);
  EXPECT_EQ(bridged(tagged(arp(machine, machine, address))), Drop::none);
  EXPECT_EQ(bridged(arp(machine, kPeer, address)), Drop::spoofed_source);
  EXPECT_EQ(bridged(arp(kPeer, machine, address)), Drop::spoofed_source);
  EXPECT_EQ(bridged(arp(machine, machine, test::kPeerIp)), Drop::spoofed_source);
  Mac group = machine;
  group.bytes[0] |= std::byte{1};
  EXPECT_EQ(bridged(arp(group, machine, address)), Drop::spoofed_source);
  const IpAddress six = eui64_link_local(machine), other = other_ip6();
  EXPECT_EQ(bridged(ip6(six, kProtocolIcmp6, discovery(136, 24, &six, {}))), Drop::none);
  EXPECT_EQ(bridged(ip6(six, kProtocolIcmp6, discovery(136, 24, &other, {}))), Drop::spoofed_source);
  EXPECT_EQ(bridged(ip6(six, kProtocolIcmp6, discovery(134, 16, nullptr, {}))), Drop::spoofed_source);
  EXPECT_EQ(verdict(arp(machine, machine, address)), Drop::spoofed_source) << "not allowed to bridge";
}

TEST(SourceGuard, ARangeHoldsNoAddressOfAnotherMember) {
  const PeerOnly others;
  const std::vector<IpNetwork> everything{*parse_ip_network("0.0.0.0/0"), *parse_ip_network("::/0")};
  const auto judge = [&](const Bytes& frame) {
    return check_source(frame, *parse_frame(frame), {kSelf, kSelfIp, everything, &others});
  };
  EXPECT_EQ(judge(arp(kSelf, kSelf, {0x08080808})), Drop::none);
  EXPECT_EQ(judge(arp(kSelf, kSelf, test::kPeerIp)), Drop::spoofed_source);
  Bytes packet = build({});
  const std::size_t source = parse_frame(packet)->l3_offset + 12;
  for (const std::uint32_t ip : {0x08080808U, test::kPeerIp.value}) {
    store_be32(&packet[source], ip);
    EXPECT_EQ(judge(packet), ip == test::kPeerIp.value ? Drop::spoofed_source : Drop::none);
  }
  const IpAddress far = *parse_ip("2001:db8::1"), other = other_ip6();
  EXPECT_EQ(judge(ip6(far, 59, {})), Drop::none);
  EXPECT_EQ(judge(ip6(other, 59, {})), Drop::spoofed_source);
  EXPECT_EQ(judge(ip6(far, kProtocolIcmp6, discovery(136, 24, &far, {}))), Drop::none);
  EXPECT_EQ(judge(ip6(far, kProtocolIcmp6, discovery(136, 24, &other, {}))), Drop::spoofed_source);
  EXPECT_EQ(judge(arp(test::mac_of(9), test::mac_of(9), {0x08080808})), Drop::spoofed_source) << "of MACs it has one";
}

}  // namespace
}  // namespace eps::l2
