// SPDX-License-Identifier: MIT
#include "l2/source_guard.h"

#include <algorithm>
#include <optional>

#include "l2/dhcp.h"
#include "l2/inner.h"

namespace eps::l2 {
namespace {

constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kRouterAdvertisement = 134;
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::uint8_t kRedirect = 137;
constexpr std::uint8_t kMldQuery = 130;
constexpr std::uint8_t kIp4Redirect = 5;
constexpr std::uint8_t kIp4RouterAdvertisement = 9;  // RFC 1256
constexpr std::uint8_t kIgmpQuery = 0x11;
constexpr std::uint8_t kSourceLinkLayer = 1;
constexpr std::uint8_t kTargetLinkLayer = 2;

constexpr std::uint8_t kProtocolIcmp4 = 1;
constexpr std::uint8_t kProtocolIgmp = 2;
constexpr std::uint8_t kAuthentication = 51;  // RFC 4302
// The ports of DHCP clients and servers, in the order of a client's datagram.
constexpr std::uint32_t kDhcpPorts = 68U << 16 | 67U;

std::uint8_t u8(const std::byte* p) {
  return std::to_integer<std::uint8_t>(*p);
}

// What is refused, and why.
struct Check {
  const Owner& owner;
  Refusal* why;

  Drop refuse(Refusal::What what, const IpAddress& address) const {
    if (why != nullptr) {
      why->what = what;
      why->address = address;
    }
    return Drop::spoofed_source;
  }
  bool may_bridge() const { return owner.bridge; }
  template <class Identity>
  bool is_anothers(const Identity& identity) const {
    return owner.others != nullptr && owner.others->hold(identity);
  }
  // An address that is not the owner's own.
  bool may_use(const IpAddress& address) const {
    const bool granted = owner.bridge || std::ranges::any_of(owner.further, [&](const IpNetwork& range) {
                           return range.contains(address);
                         });
    return granted && !is_anothers(address);
  }
  bool owns(Ip4 ip) const { return ip == owner.ip || may_use(IpAddress::from_v4(ip)); }
  bool owns(const IpAddress& ip6) const {
    if (ip6 == owner.ip6 && !ip6.is_unspecified()) return true;
    return ip6 == eui64_link_local(owner.mac) || may_use(ip6);
  }
  bool owns(const Mac& mac) const { return mac == owner.mac || (owner.bridge && !mac.is_group() && !is_anothers(mac)); }
};

IpAddress read_ip6(const std::byte* p) {
  IpAddress out;
  std::memcpy(out.bytes.data(), p, 16);
  return out;
}

Mac read_mac(const std::byte* p) {
  Mac out;
  std::memcpy(out.bytes.data(), p, 6);
  return out;
}

// RFC 826, for Ethernet (1) and IPv4.
Drop check_arp(ByteView arp, const Check& check) {
  if (arp.size() < 28) return Drop::malformed;
  const std::byte* p = arp.data();
  if (load_be16(p) != 1 || load_be16(p + 2) != kEtherIp4 || u8(p + 4) != 6 || u8(p + 5) != 4) return Drop::malformed;
  const Ip4 sender{load_be32(p + 14)};
  const bool owned = check.owns(read_mac(p + 8)) && (sender.value == 0 || check.owns(sender));
  return owned ? Drop::none : check.refuse(Refusal::What::arp, IpAddress::from_v4(sender));
}

constexpr std::uint16_t kEtherLldp = 0x88cc;

// A group that ends at the next bridge, or is Cisco's for the same.
bool is_bridge_control(const Mac& to) {
  const std::uint64_t high = load_be16(to.bytes.data()), low = load_be32(to.bytes.data() + 2);
  const std::uint64_t mac = high << 32 | low;
  return mac >> 4 == 0x0180c200000 || mac == 0x01000ccccccc || mac == 0x01000ccccccd;
}

bool hides_source(std::uint16_t ethertype) {
  switch (ethertype) {
    case 0x8847:  // MPLS
    case 0x8848:
    case 0x88e7:  // 802.1ah
    case 0x9100:  // tags as they were before 802.1ad
    case 0x9200:
    case 0x9300:
      return true;
    default:
      return false;
  }
}

// Frames that only members with permission to bridge may send.
Drop check_kind(const FrameInfo& info, const Check& check) {
  if (check.may_bridge()) return Drop::none;
  // LLDP announces neighbours and does not control bridges.
  const bool control = is_bridge_control(info.dst) && info.ethertype != kEtherLldp;
  if (control) return check.refuse(Refusal::What::bridge, {});
  return hides_source(info.ethertype) ? check.refuse(Refusal::What::hidden, {}) : Drop::none;
}

// ICMP and IGMP, including first fragments, which always have room for the type.
Drop check_ip4_message(ByteView packet, const FrameInfo& info, Ip4 source, const Check& check) {
  const bool icmp = info.protocol == kProtocolIcmp4, igmp = info.protocol == kProtocolIgmp;
  const bool first = (load_be16(packet.data() + 6) & 0x1fff) == 0;
  if ((!icmp && !igmp) || !first || info.l4_offset >= info.ip_end) return Drop::none;
  const std::uint8_t type = u8(packet.data() + (info.l4_offset - info.l3_offset));
  const IpAddress address = IpAddress::from_v4(source);
  if (icmp && (type == kIp4Redirect || type == kIp4RouterAdvertisement)) {
    return check.refuse(Refusal::What::router, address);
  }
  const bool query = igmp && type == kIgmpQuery && !check.may_bridge();
  return query ? check.refuse(Refusal::What::querier, address) : Drop::none;
}

// `packet` begins with the IPv4 header, whose frame offset is info.l3_offset.
Drop check_ip4(ByteView packet, const FrameInfo& info, const Check& check) {
  const Ip4 source{load_be32(packet.data() + 12)};
  if (const Drop drop = check_ip4_message(packet, info, source, check); drop != Drop::none) return drop;
  if (check.owner.dhcp != DhcpRight::all && is_dhcp4_answer(packet, info)) {
    const bool may = check.owner.dhcp == DhcpRight::addresses && !info.fragment && info.plain_transport() &&
                     offers_address_of(check.owner.network, packet.subspan(info.payload_offset - info.l3_offset,
                                                                           info.ip_end - info.payload_offset));
    if (!may) return check.refuse(Refusal::What::dhcp, IpAddress::from_v4(source));
  }
  if (check.owns(source)) return Drop::none;
  const bool dhcp = info.protocol == kProtocolUdp && info.plain_transport() &&
                    load_be32(packet.data() + (info.l4_offset - info.l3_offset)) == kDhcpPorts;
  return source.value == 0 && (dhcp || info.protocol == kProtocolIgmp)
             ? Drop::none
             : check.refuse(Refusal::What::ip4, IpAddress::from_v4(source));
}

// The position of the options of a neighbour discovery message; 0 for any other ICMPv6 type.
std::size_t options_offset(std::uint8_t type) {
  switch (type) {
    case kRouterSolicitation:
      return 8;
    case kRouterAdvertisement:
      return 16;
    case kNeighbourSolicitation:
    case kNeighbourAdvertisement:
      return 24;
    case kRedirect:
      return 40;
    default:
      return 0;
  }
}

Drop check_link_layer_options(ByteView options, const IpAddress& about, const Check& check) {
  while (!options.empty()) {
    if (options.size() < 8) return Drop::malformed;
    const std::size_t size = std::size_t{u8(options.data() + 1)} * 8;
    if (size == 0 || size > options.size()) return Drop::malformed;
    const std::uint8_t type = u8(options.data());
    if ((type == kSourceLinkLayer || type == kTargetLinkLayer) && !check.owns(read_mac(options.data() + 2))) {
      return check.refuse(Refusal::What::neighbour, about);
    }
    options = options.subspan(size);
  }
  return Drop::none;
}

Drop check_icmp6(ByteView message, const IpAddress& source, const Check& check) {
  if (message.empty()) return Drop::none;
  const std::uint8_t type = u8(message.data());
  // No member is the segment's router: an announcement would take over everybody's IPv6.
  if (type == kRouterAdvertisement || type == kRedirect) return check.refuse(Refusal::What::router, source);
  if (type == kMldQuery && !check.may_bridge()) return check.refuse(Refusal::What::querier, source);
  const std::size_t options = options_offset(type);
  if (options == 0) return Drop::none;
  if (message.size() < options) return Drop::malformed;
  const bool claims = type == kNeighbourAdvertisement || (type == kNeighbourSolicitation && source.is_unspecified());
  const IpAddress about = options == 24 ? read_ip6(message.data() + 8) : source;
  if (claims && !check.owns(about)) return check.refuse(Refusal::What::neighbour, about);
  return check_link_layer_options(message.subspan(options), about, check);
}

// The beginning of a datagram, whole or not.
Drop check_udp6(ByteView datagram, const IpAddress& source, const Check& check) {
  const bool refused = check.owner.dhcp != DhcpRight::all && is_dhcp6_answer(datagram);
  return refused ? check.refuse(Refusal::What::dhcp, source) : Drop::none;
}

// Whether a fragment begins a packet: the offset in the fragment header right before what it carries is zero.
bool first_fragment(const std::byte* behind_header) {
  return load_be16(behind_header - 6) >> 3 == 0;
}

// The protocol behind the extension headers of a packet or a first fragment; `rest` then begins with it. nullopt if it
// ends within the headers.
std::optional<std::uint8_t> skip_extensions(std::uint8_t next, ByteView& rest) {
  constexpr std::uint8_t kFragment = 44;
  while (is_ip6_extension(next) || next == kAuthentication) {
    if (rest.size() < 8) return std::nullopt;
    const std::size_t length = u8(rest.data() + 1);
    const std::size_t size = next == kFragment ? 8 : next == kAuthentication ? (length + 2) * 4 : (length + 1) * 8;
    if (size > rest.size()) return std::nullopt;
    next = u8(rest.data());
    rest = rest.subspan(size);
  }
  return next;
}

// `packet` begins with the IPv6 header, whose frame offset is info.l3_offset.
Drop check_ip6(ByteView packet, const FrameInfo& info, const Check& check) {
  const IpAddress source = read_ip6(packet.data() + 8);
  if (!source.is_unspecified() && !check.owns(source)) return check.refuse(Refusal::What::ip6, source);
  ByteView message = packet.subspan(info.l4_offset - info.l3_offset, info.ip_end - info.l4_offset);
  if (info.fragment && !first_fragment(packet.data() + (info.l4_offset - info.l3_offset))) return Drop::none;
  const auto protocol = skip_extensions(info.protocol, message);
  if (!protocol) return Drop::malformed;
  if (*protocol == kProtocolUdp) return check_udp6(message, source, check);
  if (*protocol == kProtocolIcmp6 && !info.fragment) return check_icmp6(message, source, check);
  if (*protocol != kProtocolIcmp6 || message.empty()) return Drop::none;
  const std::uint8_t type = u8(message.data());
  if (type == kRouterAdvertisement || type == kRedirect) return check.refuse(Refusal::What::router, source);
  if (type == kMldQuery && !check.may_bridge()) return check.refuse(Refusal::What::querier, source);
  return options_offset(type) != 0 ? Drop::malformed : Drop::none;
}

// 802.3 with the SNAP header of RFC 1042 or of bridges (802.1H), around what has an EtherType of its own.
bool hides_in_snap(ByteView packet, std::uint16_t ethertype) {
  constexpr std::uint16_t kLeastEtherType = 0x600;  // below, it is a length
  constexpr std::size_t kSnapSize = 8;
  if (ethertype >= kLeastEtherType || packet.size() < kSnapSize) return false;
  const bool snap = load_be32(packet.data()) == 0xaaaa0300;
  const std::uint16_t rest = load_be16(packet.data() + 4), type = load_be16(packet.data() + 6);
  if (!snap || (rest != 0 && rest != 0x00f8)) return false;
  return type == kEtherIp4 || type == kEtherArp || type == kEtherIp6 || type == kEtherVlan ||
         type == kEtherServiceVlan || hides_source(type);
}

// `packet` begins behind the Ethernet header and its tag.
Drop check_packet(ByteView packet, const FrameInfo& info, const Check& check) {
  if (check.why != nullptr) {
    check.why->mac = info.src;
    check.why->ethertype = info.ethertype;
  }
  if (info.src.is_group() || !check.owns(info.src)) return check.refuse(Refusal::What::mac, {});
  if (const Drop drop = check_kind(info, check); drop != Drop::none) return drop;
  switch (info.ethertype) {
    case kEtherIp4:
      return check_ip4(packet, info, check);
    case kEtherIp6:
      return check_ip6(packet, info, check);
    case kEtherArp:
      return check_arp(packet, check);
    case kEtherVlan:
    case kEtherServiceVlan:
      return Drop::malformed;
    default:
      return hides_in_snap(packet, info.ethertype) ? Drop::malformed : Drop::none;
  }
}

}  // namespace

IpAddress eui64_link_local(const Mac& mac) {
  const auto& m = mac.bytes;
  constexpr std::byte zero{0};
  // The universal/local bit is inverted.
  return {{std::byte{0xfe}, std::byte{0x80}, zero, zero, zero, zero, zero, zero, m[0] ^ std::byte{2}, m[1], m[2],
           std::byte{0xff}, std::byte{0xfe}, m[3], m[4], m[5]}};
}

Drop check_source(ByteView frame, const FrameInfo& info, const Owner& owner, Refusal* why) {
  return check_packet(frame.subspan(info.l3_offset), info, {owner, why});
}

Drop check_source(const Inner& inner, const Owner& owner, Refusal* why) {
  return check_packet(ByteView(inner.bytes).subspan(inner.info.l3_offset - inner.base()), inner.info, {owner, why});
}

}  // namespace eps::l2
