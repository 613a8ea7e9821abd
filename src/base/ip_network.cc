// SPDX-License-Identifier: MIT
#include "base/ip_network.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace eps {
namespace {

constexpr unsigned kMappedBits = 96;  // of an IPv4 address in its IPv4-mapped form (RFC 4291, section 2.5.5.2)

bool same_bits(const IpAddress& a, const IpAddress& b, unsigned bits) {
  if (std::memcmp(a.bytes.data(), b.bytes.data(), bits / 8) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto differing = std::to_integer<unsigned>(a.bytes[bits / 8] ^ b.bytes[bits / 8]);
  return differing >> (8 - bits % 8) == 0;
}

bool is_canonical(const IpNetwork& network) {
  for (unsigned bit = network.length; bit < 128; ++bit) {
    if ((std::to_integer<unsigned>(network.base.bytes[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

}  // namespace

bool valid(const IpNetwork& network) {
  return network.length <= 128 && (!network.base.is_v4() || network.length >= kMappedBits) && is_canonical(network);
}

bool IpNetwork::contains(const IpAddress& ip) const {
  return ip.is_v4() == base.is_v4() && same_bits(base, ip, length);
}

IpNetwork IpNetwork::from_v4(const Ip4Network& network) {
  return {IpAddress::from_v4(network.base), static_cast<std::uint8_t>(kMappedBits + network.prefix)};
}

std::string to_string(const IpNetwork& network) {
  const unsigned length = network.base.is_v4() ? network.length - kMappedBits : network.length;
  return to_string(network.base) + "/" + std::to_string(length);
}

std::optional<IpNetwork> parse_ip_network(std::string_view text) {
  const auto slash = text.find('/');
  const auto base = parse_ip(text.substr(0, slash));
  if (!base) return std::nullopt;
  const unsigned most = base->is_v4() ? 128 - kMappedBits : 128;
  unsigned length = most;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || length > most) {
      return std::nullopt;
    }
  }
  const IpNetwork out{*base, static_cast<std::uint8_t>(length + 128 - most)};
  return is_canonical(out) ? std::optional(out) : std::nullopt;
}

IpAddress subscriber_of(const IpAddress& ip) {
  IpAddress out = ip;
  if (!ip.is_v4()) std::fill(out.bytes.begin() + 8, out.bytes.end(), std::byte{0});
  return out;
}

}  // namespace eps
