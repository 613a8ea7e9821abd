// SPDX-License-Identifier: MIT
#include "l2/neighbour.h"

#include <cstring>

#include "l2/checksum.h"

namespace eps::l2 {
namespace {

using Kind = LinkMessage::Kind;

constexpr std::size_t kArpSize = 28;
constexpr std::uint16_t kEtherRarp = 0x8035;
constexpr std::uint16_t kArpRequest = 1;
constexpr std::uint16_t kRarpRequest = 3;
constexpr std::uint16_t kArpReply = 2;

constexpr std::uint8_t kProtocolIgmp = 2;
constexpr std::uint8_t kIgmpQuery = 0x11;
constexpr std::uint8_t kIgmpReport3 = 0x22;
constexpr std::uint8_t kMldQuery = 130;
constexpr std::uint8_t kMldReport = 131;
constexpr std::uint8_t kMldDone = 132;
constexpr std::uint8_t kMldReport2 = 143;
constexpr std::uint8_t kRouterSolicitation = 133;
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::size_t kNeighbourSize = 24;  // without options
constexpr std::uint32_t kSolicited = 1U << 30;
constexpr std::uint32_t kOverride = 1U << 29;
constexpr std::uint8_t kLinkScope = 2;  // of a group (RFC 4291, section 2.7)

constexpr Mac kEverybody{
    {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}}};
constexpr Mac kAllNodesMac{{std::byte{0x33}, std::byte{0x33}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}}};

std::uint8_t u8(const std::byte* p) {
  return std::to_integer<std::uint8_t>(*p);
}

IpAddress ip6(const std::byte* p) {
  IpAddress out;
  std::memcpy(out.bytes.data(), p, 16);
  return out;
}

IpAddress all_nodes() {
  IpAddress out;
  out.bytes = {std::byte{0xff}, std::byte{2}};
  out.bytes[15] = std::byte{1};
  return out;
}

LinkMessage read_arp(ByteView arp) {
  if (arp.size() < kArpSize) return {};
  const std::uint16_t operation = load_be16(arp.data() + 6);
  const IpAddress sender = IpAddress::from_v4({load_be32(arp.data() + 14)});
  const IpAddress target = IpAddress::from_v4({load_be32(arp.data() + 24)});
  if (sender == target) return {Kind::announcement, sender, sender};
  if (operation != kArpRequest) return {};
  return {sender.is_unspecified() ? Kind::probe : Kind::question, target, sender};
}

IpAddress group_at(const std::byte* p, std::size_t size) {
  return size == 4 ? IpAddress::from_v4({load_be32(p)}) : ip6(p);
}

// Of an IGMP or MLD report (RFC 2236, 3376, 2710, 3810) whose addresses have this size.
bool reports_beyond_link(ByteView report, bool has_records, std::size_t size) {
  constexpr std::size_t kHead = 8, kRecordHead = 4;
  if (!has_records) {
    const std::size_t at = size == 4 ? 4 : kHead;
    return report.size() >= at + size && is_beyond_link(group_at(report.data() + at, size));
  }
  if (report.size() < kHead) return false;
  std::size_t at = kHead;
  for (unsigned left = load_be16(report.data() + 6); left != 0 && report.size() >= at + kRecordHead + size; --left) {
    const std::byte* record = report.data() + at;
    if (is_beyond_link(group_at(record + kRecordHead, size))) return true;
    at += kRecordHead + size + std::size_t{load_be16(record + 2)} * size + std::size_t{u8(record + 1)} * 4;
  }
  return false;
}

LinkMessage read_icmp6(ByteView message, const IpAddress& source) {
  if (message.empty()) return {};
  switch (u8(message.data())) {
    case kRouterSolicitation:
      return {Kind::router_search, {}, source};
    case kMldReport:
    case kMldDone:
    case kMldReport2:
      return {Kind::membership, {}, source, reports_beyond_link(message, u8(message.data()) == kMldReport2, 16)};
    case kMldQuery:
      return {Kind::query, {}, source};
    case kNeighbourSolicitation:
      if (message.size() < kNeighbourSize) return {};
      return {source.is_unspecified() ? Kind::probe : Kind::question, ip6(message.data() + 8), source};
    case kNeighbourAdvertisement:
      if (message.size() < kNeighbourSize || (load_be32(message.data() + 4) & kSolicited) != 0) return {};
      return {Kind::announcement, ip6(message.data() + 8), source};
    default:
      return {};
  }
}

void put_mac(std::byte* p, const Mac& mac) {
  std::memcpy(p, mac.bytes.data(), 6);
}

// Both addresses; what follows them is the caller's.
void put_ethernet(LinkFrame& out, const Mac& to, const Mac& from) {
  put_mac(out.data(), to);
  put_mac(out.data() + 6, from);
}

std::size_t put_arp(std::byte* p, std::uint16_t operation, const Mac& sender, Ip4 sender_ip, const Mac& target,
                    Ip4 target_ip) {
  store_be16(p, 1);
  store_be16(p + 2, kEtherIp4);
  p[4] = std::byte{6};
  p[5] = std::byte{4};
  store_be16(p + 6, operation);
  put_mac(p + 8, sender);
  store_be32(p + 14, sender_ip.value);
  put_mac(p + 18, target);
  store_be32(p + 24, target_ip.value);
  return kArpSize;
}

// RFC 4861, section 4.4, with the target's link-layer address.
std::size_t put_advertisement(std::byte* p, const IpAddress& address, const Mac& owner, const IpAddress& to,
                              std::uint32_t flags) {
  constexpr std::size_t kSize = kNeighbourSize + 8;
  std::memset(p, 0, kIp6Size + kSize);
  p[0] = std::byte{0x60};
  store_be16(p + 4, kSize);
  p[6] = static_cast<std::byte>(kProtocolIcmp6);
  p[7] = std::byte{255};
  std::memcpy(p + 8, address.bytes.data(), 16);
  std::memcpy(p + 24, to.bytes.data(), 16);
  std::byte* message = p + kIp6Size;
  message[0] = static_cast<std::byte>(kNeighbourAdvertisement);
  store_be32(message + 4, flags);
  std::memcpy(message + 8, address.bytes.data(), 16);
  message[24] = std::byte{2};  // target link-layer address
  message[25] = std::byte{1};  // of 8 bytes
  put_mac(message + 26, owner);
  const Sum pseudo = pseudo_header_sum(6, p, kProtocolIcmp6, kSize);
  store_be16(message + 2, checksum(add_bytes(pseudo, ByteView(message, kSize))));
  return kIp6Size + kSize;
}

}  // namespace

LinkMessage read_link_message(ByteView frame, const FrameInfo& info) {
  const ByteView packet = frame.subspan(info.l3_offset);
  if (info.ethertype == kEtherArp) return read_arp(packet);
  if (info.fragment) return {};
  if (info.ip_version == 4 && info.protocol == kProtocolIgmp && info.l4_offset < info.ip_end) {
    const ByteView message = frame.subspan(info.l4_offset, info.ip_end - info.l4_offset);
    if (u8(message.data()) == kIgmpQuery) return {Kind::query, {}, {}};
    return {Kind::membership, {}, {}, reports_beyond_link(message, u8(message.data()) == kIgmpReport3, 4)};
  }
  if (info.ip_version != 6 || info.protocol != kProtocolIcmp6) return {};
  return read_icmp6(frame.subspan(info.l4_offset, info.ip_end - info.l4_offset), ip6(packet.data() + 8));
}

bool is_beyond_link(const IpAddress& group) {
  if (group.is_v4()) return group.v4().value >> 28 == 0xe && group.v4().value >> 8 != 0xe00000;
  return u8(group.bytes.data()) == 0xff && (u8(group.bytes.data() + 1) & 0x0f) > kLinkScope;
}

bool is_for_listeners(const FrameInfo& info, const std::byte* ip) {
  const auto& mac = info.dst.bytes;
  if (info.ip_version == 4) {
    return mac[0] == std::byte{1} && mac[1] == std::byte{0} && mac[2] == std::byte{0x5e} &&
           is_beyond_link(group_at(ip + 16, 4));
  }
  return info.ip_version == 6 && mac[0] == std::byte{0x33} && mac[1] == std::byte{0x33} &&
         is_beyond_link(group_at(ip + 24, 16));
}

ByteView write_answer(ByteView question, const FrameInfo& info, const LinkMessage& message, const Mac& owner,
                      LinkFrame& out) {
  const bool probe = message.kind == Kind::probe;
  // With the tag and the EtherType of the question.
  std::memcpy(out.data(), question.data(), info.l3_offset);
  std::byte* packet = out.data() + info.l3_offset;
  put_ethernet(out, info.src, owner);
  if (message.about.is_v4()) {
    const Ip4 asker = message.asker.v4();
    return ByteView(out).first(info.l3_offset + put_arp(packet, kArpReply, owner, message.about.v4(), info.src, asker));
  }
  // An asker without an address is answered through all-nodes (RFC 4861, section 7.2.4); here that is this node only.
  const IpAddress to = probe ? all_nodes() : message.asker;
  return ByteView(out).first(
      info.l3_offset + put_advertisement(packet, message.about, owner, to, probe ? kOverride : kOverride | kSolicited));
}

ByteView write_announcement(const IpAddress& address, const Mac& owner, LinkFrame& out) {
  put_ethernet(out, address.is_v4() ? kEverybody : kAllNodesMac, owner);
  store_be16(out.data() + 12, address.is_v4() ? kEtherArp : kEtherIp6);
  std::byte* packet = out.data() + kEthernetSize;
  const std::size_t size = address.is_v4() ? put_arp(packet, kArpRequest, owner, address.v4(), {}, address.v4())
                                           : put_advertisement(packet, address, owner, all_nodes(), kOverride);
  return ByteView(out).first(kEthernetSize + size);
}

ByteView write_presence(ByteView heard, const FrameInfo& info, LinkFrame& out) {
  std::memcpy(out.data(), heard.data(), info.l3_offset);
  put_ethernet(out, kEverybody, info.src);
  std::byte* packet = out.data() + info.l3_offset;
  store_be16(packet - 2, kEtherRarp);
  return ByteView(out).first(info.l3_offset + put_arp(packet, kRarpRequest, info.src, {}, info.src, {}));
}

}  // namespace eps::l2
