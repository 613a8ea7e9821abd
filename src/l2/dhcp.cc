// SPDX-License-Identifier: MIT
#include "l2/dhcp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "l2/checksum.h"
#include "l2/inner.h"

namespace eps::l2 {
namespace {

constexpr std::uint16_t kClientPort = 68, kServerPort = 67;
constexpr std::uint16_t kClientPort6 = 546, kServerPort6 = 547;
constexpr std::uint8_t kBootReply = 2;

// Fields of an answer (RFC 2131, section 2).
constexpr std::size_t kYourAddress = 16;
constexpr std::size_t kNextServer = 20;
constexpr std::size_t kServerName = 44;  // and the boot file behind it, up to:
constexpr std::size_t kCookie = 236;
constexpr std::size_t kOptions = 240;
constexpr std::uint32_t kCookieValue = 0x63825363;

// Options (RFC 2132).
constexpr std::uint8_t kPad = 0, kSubnetMask = 1, kEnd = 255;
// Mask, lease time, message type, server, renewal and rebinding times, client and relay agent (RFC 3046).
constexpr std::array<std::uint8_t, 8> kKept = {kSubnetMask, 51, 53, 54, 58, 59, 61, 82};

std::uint8_t u8(std::byte b) {
  return std::to_integer<std::uint8_t>(b);
}

// Calls `visit(code, option)` for each option, whole with code and length. False: they do not parse.
template <class Visit>
bool each_option(auto options, Visit visit) {
  for (std::size_t at = 0; at < options.size();) {
    const std::uint8_t code = u8(options[at]);
    if (code == kEnd) return true;
    if (code == kPad) {
      ++at;
      continue;
    }
    if (at + 2 > options.size()) return false;
    const std::size_t size = std::size_t{2} + u8(options[at + 1]);
    if (at + size > options.size()) return false;
    visit(code, options.subspan(at, size));
    at += size;
  }
  return true;
}

bool is_kept(std::uint8_t code) {
  return std::ranges::find(kKept, code) != kKept.end();
}

bool is_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

bool is_dhcp4_answer(ByteView packet, const FrameInfo& info) {
  if (info.protocol != kProtocolUdp) return false;
  const bool first = (load_be16(packet.data() + 6) & 0x1fff) == 0;
  const ByteView datagram = packet.subspan(info.l4_offset - info.l3_offset, info.ip_end - info.l4_offset);
  if (!first || datagram.size() < 4) return false;
  const std::uint16_t to = load_be16(datagram.data() + 2);
  if (to != kServerPort) return to == kClientPort;
  // To a relay agent, as requests are.
  return datagram.size() <= kUdpSize || u8(datagram[kUdpSize]) == kBootReply;
}

bool is_dhcp6_answer(ByteView datagram) {
  if (datagram.size() < 4) return false;
  const std::uint16_t to = load_be16(datagram.data() + 2);
  if (to != kServerPort6) return to == kClientPort6;
  if (datagram.size() <= kUdpSize) return true;
  constexpr std::array<std::uint8_t, 4> kOfServers = {2, 7, 10, 13};  // Advertise, Reply, Reconfigure, Relay-reply
  return std::ranges::find(kOfServers, u8(datagram[kUdpSize])) != kOfServers.end();
}

bool offers_address_of(const Ip4Network& network, ByteView answer) {
  if (answer.size() < kOptions || u8(answer[0]) != kBootReply || load_be32(answer.data() + kCookie) != kCookieValue) {
    return false;
  }
  std::optional<std::uint32_t> mask;
  bool masks_fit = true;
  const bool parses = each_option(answer.subspan(kOptions), [&](std::uint8_t code, ByteView option) {
    if (code != kSubnetMask) return;
    masks_fit &= option.size() == 6 && !mask;
    if (masks_fit) mask = load_be32(option.data() + 2);
  });
  if (!parses || !masks_fit) return false;
  const Ip4 address{load_be32(answer.data() + kYourAddress)};
  if (address.value == 0) return true;
  const bool whole = mask && std::popcount(*mask) == std::countl_one(*mask);
  return whole && std::popcount(*mask) >= network.prefix && network.contains(address);
}

bool gives_more_than_addresses(ByteView frame, const FrameInfo& info) {
  if (info.ethertype != kEtherIp4 || !is_dhcp4_answer(frame.subspan(info.l3_offset), info)) return false;
  const ByteView answer = frame.subspan(info.payload_offset, info.ip_end - info.payload_offset);
  bool more = !is_zero(answer.subspan(kNextServer, 4)) || !is_zero(answer.subspan(kServerName, kCookie - kServerName));
  each_option(answer.subspan(kOptions), [&](std::uint8_t code, ByteView) { more |= !is_kept(code); });
  return more;
}

bool keep_only_addresses(Inner& inner) {
  const FrameInfo& info = inner.info;
  const std::size_t l3 = info.l3_offset;
  if (info.ethertype != kEtherIp4 || !is_dhcp4_answer(ByteView(inner.at(l3), inner.frame_size() - l3), info)) {
    return false;
  }
  const ByteSpan answer(inner.at(info.payload_offset), info.ip_end - info.payload_offset);
  bool more = false;
  const auto clear = [&](ByteSpan bytes) {
    more |= !is_zero(bytes);
    std::ranges::fill(bytes, std::byte{0});  // which is padding where an option was
  };
  clear(answer.subspan(kNextServer, 4));
  clear(answer.subspan(kServerName, kCookie - kServerName));
  each_option(answer.subspan(kOptions), [&](std::uint8_t code, ByteSpan option) {
    if (!is_kept(code)) clear(option);
  });
  if (!more || inner.checksum_partial) return more;
  std::byte* const udp = inner.at(info.l4_offset);
  const std::size_t length = info.ip_end - info.l4_offset;
  store_be16(udp + kUdpChecksum, 0);
  const Sum sum = pseudo_header_sum(4, inner.at(l3), kProtocolUdp, length);
  store_be16(udp + kUdpChecksum, nonzero_checksum(add_bytes(sum, ByteView(udp, length))));
  return more;
}

}  // namespace eps::l2
