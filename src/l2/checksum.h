// SPDX-License-Identifier: MIT
#pragma once

// The Internet checksum (RFC 1071): the ones-complement sum of 16-bit words, kept wide while it accumulates and folded
// once at the end. Sums are accumulated over words in the machine's own byte order, which RFC 1071 (section 2, "byte
// order independence") allows, and converted only by fold().

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace eps::l2 {

// A partial sum. It cannot overflow in less than 2^31 additions: each adds less than 2^33 or a few words.
using Sum = std::uint64_t;

namespace detail {
template <typename Word>
inline Word load_native(const std::byte* p) {
  Word w;
  std::memcpy(&w, p, sizeof w);
  return w;
}
inline std::uint16_t to_network(std::uint16_t v) {
  if constexpr (std::endian::native == std::endian::big) return v;
  return static_cast<std::uint16_t>(v << 8 | v >> 8);
}
}  // namespace detail

// Adds bytes that begin at an even offset of the summed data; an odd last byte counts as if a zero followed.
inline Sum add_bytes(Sum sum, ByteView bytes) {
  const std::byte* p = bytes.data();
  std::size_t n = bytes.size();
  // Two chains of 64-bit additions with the carry led back in.
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  for (; n >= 16; p += 16, n -= 16) {
    const auto x = detail::load_native<std::uint64_t>(p);
    const auto y = detail::load_native<std::uint64_t>(p + 8);
    a += x;
    a += a < x;
    b += y;
    b += b < y;
  }
  sum += (a & 0xffffffffU) + (a >> 32);
  sum += (b & 0xffffffffU) + (b >> 32);
  for (; n >= 4; p += 4, n -= 4) sum += detail::load_native<std::uint32_t>(p);
  if (n >= 2) {
    sum += detail::load_native<std::uint16_t>(p);
    p += 2;
    n -= 2;
  }
  if (n != 0) {
    std::uint16_t last = 0;
    std::memcpy(&last, p, 1);
    sum += last;
  }
  return sum;
}

// Adds one 16-bit field given in host order.
inline Sum add_word(Sum sum, std::uint16_t value) {
  return sum + detail::to_network(value);
}

// The 16-bit sum in host order, for store_be16. Not complemented: what a partial checksum field holds.
inline std::uint16_t fold(Sum sum) {
  sum = (sum & 0xffffffffU) + (sum >> 32);
  sum = (sum & 0xffffffffU) + (sum >> 32);
  sum = (sum & 0xffffU) + (sum >> 16);
  sum = (sum & 0xffffU) + (sum >> 16);
  return detail::to_network(static_cast<std::uint16_t>(sum));
}

// The value for a checksum field.
inline std::uint16_t checksum(Sum sum) {
  return static_cast<std::uint16_t>(~fold(sum));
}
// The same for UDP, where zero means "no checksum" and the other zero, 0xffff, is sent instead (RFC 768). TCP may use
// it as well: both zeros verify alike.
inline std::uint16_t nonzero_checksum(Sum sum) {
  const std::uint16_t c = checksum(sum);
  return c == 0 ? std::uint16_t{0xffff} : c;
}
// A checksum after a change of one of the words that it covers (RFC 1624, equation 3).
inline std::uint16_t updated_checksum(std::uint16_t checksum_before, std::uint16_t before, std::uint16_t after) {
  const Sum sum =
      add_word(add_word(0, static_cast<std::uint16_t>(~checksum_before)), static_cast<std::uint16_t>(~before));
  return checksum(add_word(sum, after));
}
// Whether bytes that include their checksum field have a correct sum.
inline bool verifies(Sum sum) {
  return fold(sum) == 0xffff;
}

// The pseudo-header of RFC 9293, section 3.1, and of RFC 8200, section 8.1: first the addresses of the IP header at
// `ip`, then the rest. REQUIRES: the header is whole.
inline Sum add_addresses(Sum sum, std::uint8_t ip_version, const std::byte* ip) {
  return ip_version == 4 ? add_bytes(sum, ByteView(ip + 12, 8)) : add_bytes(sum, ByteView(ip + 8, 32));
}
inline Sum add_pseudo_tail(Sum sum, std::uint8_t protocol, std::size_t length) {
  sum = add_word(sum, protocol);
  sum = add_word(sum, static_cast<std::uint16_t>(length >> 16));
  return add_word(sum, static_cast<std::uint16_t>(length));
}
inline Sum pseudo_header_sum(std::uint8_t ip_version, const std::byte* ip, std::uint8_t protocol, std::size_t length) {
  return add_pseudo_tail(add_addresses(0, ip_version, ip), protocol, length);
}

}  // namespace eps::l2
