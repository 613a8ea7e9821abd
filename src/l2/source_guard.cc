#include "l2/source_guard.h"

#include <algorithm>

#include "l2/inner.h"

namespace eps::l2 {
namespace {

constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kRouterAdvertisement = 134;
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::uint8_t kRedirect = 137;
constexpr std::uint8_t kSourceLinkLayer = 1;
constexpr std::uint8_t kTargetLinkLayer = 2;

struct Owner {
  const Mac& mac;
  Ip4 ip;
};

std::uint8_t u8(const std::byte* p) {
  return std::to_integer<std::uint8_t>(*p);
}

Drop spoofed_unless(bool owned) {
  return owned ? Drop::none : Drop::spoofed_source;
}

bool is_mac(const std::byte* p, const Mac& mac) {
  return std::memcmp(p, mac.bytes.data(), 6) == 0;
}
bool is_ip6(const std::byte* p, const IpAddress& ip) {
  return std::memcmp(p, ip.bytes.data(), 16) == 0;
}
bool is_unspecified(const std::byte* p) {
  return std::all_of(p, p + 16, [](std::byte b) { return b == std::byte{0}; });
}

// RFC 826, for Ethernet (1) and IPv4.
Drop check_arp(ByteView arp, const Owner& owner) {
  if (arp.size() < 28) return Drop::malformed;
  const std::byte* p = arp.data();
  if (load_be16(p) != 1 || load_be16(p + 2) != kEtherIp4 || u8(p + 4) != 6 || u8(p + 5) != 4) return Drop::malformed;
  const std::uint32_t sender = load_be32(p + 14);
  return spoofed_unless(is_mac(p + 8, owner.mac) && (sender == owner.ip.value || sender == 0));
}

// Where the options of a neighbour discovery message begin; 0 for any other ICMPv6 type.
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

Drop check_link_layer_options(ByteView options, const Mac& mac) {
  while (!options.empty()) {
    if (options.size() < 8) return Drop::malformed;
    const std::size_t size = std::size_t{u8(options.data() + 1)} * 8;
    if (size == 0 || size > options.size()) return Drop::malformed;
    const std::uint8_t type = u8(options.data());
    if ((type == kSourceLinkLayer || type == kTargetLinkLayer) && !is_mac(options.data() + 2, mac)) {
      return Drop::spoofed_source;
    }
    options = options.subspan(size);
  }
  return Drop::none;
}

Drop check_icmp6(ByteView message, const Owner& owner, const IpAddress& owner_ip6, bool from_unspecified) {
  if (message.empty()) return Drop::none;
  const std::uint8_t type = u8(message.data());
  // No member is the segment's router: an announcement would take over everybody's IPv6.
  if (type == kRouterAdvertisement || type == kRedirect) return Drop::spoofed_source;
  const std::size_t options = options_offset(type);
  if (options == 0) return Drop::none;
  if (message.size() < options) return Drop::malformed;
  const bool claims = type == kNeighbourAdvertisement || (type == kNeighbourSolicitation && from_unspecified);
  if (claims && !is_ip6(message.data() + 8, owner_ip6)) return Drop::spoofed_source;
  return check_link_layer_options(message.subspan(options), owner.mac);
}

// Whether a fragment begins a packet: the offset in the fragment header right before what it carries is zero.
bool first_fragment(const std::byte* behind_header) {
  return load_be16(behind_header - 6) >> 3 == 0;
}

// `packet` begins with the IPv6 header, whose frame offset is info.l3_offset.
Drop check_ip6(ByteView packet, const FrameInfo& info, const Owner& owner) {
  const IpAddress owner_ip6 = eui64_link_local(owner.mac);
  const std::byte* source = packet.data() + 8;
  const bool from_unspecified = is_unspecified(source);
  if (!from_unspecified && !is_ip6(source, owner_ip6)) return Drop::spoofed_source;
  if (info.protocol != kProtocolIcmp6) return Drop::none;
  const ByteView message = packet.subspan(info.l4_offset - info.l3_offset, info.ip_end - info.l4_offset);
  if (!info.fragment) return check_icmp6(message, owner, owner_ip6, from_unspecified);
  const bool discovery = !message.empty() && first_fragment(message.data()) && options_offset(u8(message.data())) != 0;
  return discovery ? Drop::malformed : Drop::none;
}

// `packet` begins behind the Ethernet header and its tag.
Drop check_packet(ByteView packet, const FrameInfo& info, const Owner& owner) {
  if (info.src.is_group() || info.src != owner.mac) return Drop::spoofed_source;
  switch (info.ethertype) {
    case kEtherIp4:
      return spoofed_unless(load_be32(packet.data() + 12) == owner.ip.value);
    case kEtherIp6:
      return check_ip6(packet, info, owner);
    case kEtherArp:
      return check_arp(packet, owner);
    case kEtherVlan:
    case kEtherServiceVlan:
      return Drop::malformed;
    default:
      return Drop::none;
  }
}

}  // namespace

IpAddress eui64_link_local(const Mac& mac) {
  const auto& m = mac.bytes;
  constexpr std::byte zero{0};
  // The universal/local bit is turned over.
  return {{std::byte{0xfe}, std::byte{0x80}, zero, zero, zero, zero, zero, zero, m[0] ^ std::byte{2}, m[1], m[2],
           std::byte{0xff}, std::byte{0xfe}, m[3], m[4], m[5]}};
}

Drop check_source(ByteView frame, const FrameInfo& info, const Mac& owner_mac, Ip4 owner_ip) {
  return check_packet(frame.subspan(info.l3_offset), info, {owner_mac, owner_ip});
}

Drop check_source(const Inner& inner, const Mac& owner_mac, Ip4 owner_ip) {
  return check_packet(ByteView(inner.bytes).subspan(inner.info.l3_offset - inner.base()), inner.info,
                      {owner_mac, owner_ip});
}

}  // namespace eps::l2
