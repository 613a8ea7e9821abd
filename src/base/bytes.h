// SPDX-License-Identifier: MIT
#pragma once

// Byte views, a bounds-checked reader and writer, and the text encodings of byte strings.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eps {

using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;
using Bytes = std::vector<std::byte>;

inline ByteView as_view(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Big-endian loads and stores at a pointer that the caller has bounds-checked.
inline std::uint16_t load_be16(const std::byte* p) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(p[0]) << 8 | std::to_integer<unsigned>(p[1]));
}
inline std::uint32_t load_be32(const std::byte* p) {
  return std::uint32_t{load_be16(p)} << 16 | load_be16(p + 2);
}
inline std::uint64_t load_be64(const std::byte* p) {
  return std::uint64_t{load_be32(p)} << 32 | load_be32(p + 4);
}
inline void store_be16(std::byte* p, std::uint16_t v) {
  p[0] = static_cast<std::byte>(v >> 8);
  p[1] = static_cast<std::byte>(v);
}
inline void store_be24(std::byte* p, std::uint32_t v) {
  p[0] = static_cast<std::byte>(v >> 16);
  store_be16(p + 1, static_cast<std::uint16_t>(v));
}
inline std::uint32_t load_be24(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 16 | load_be16(p + 1);
}
inline void store_be32(std::byte* p, std::uint32_t v) {
  store_be16(p, static_cast<std::uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}
inline void store_be64(std::byte* p, std::uint64_t v) {
  store_be32(p, static_cast<std::uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<std::uint32_t>(v));
}

// Reads big-endian fields off the front of a view. After the first short read every later read yields zero and
// `ok()` is false, so a parser checks once at its end.
class Reader {
 public:
  explicit Reader(ByteView in) : in_(in) {}
  ByteView bytes(std::size_t n) {
    if (n > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    ByteView out = in_.first(n);
    in_ = in_.subspan(n);
    return out;
  }
  template <std::size_t N>
  std::array<std::byte, N> array() {
    std::array<std::byte, N> out{};
    if (ByteView b = bytes(N); b.size() == N) std::memcpy(out.data(), b.data(), N);
    return out;
  }
  std::uint8_t u8() {
    ByteView b = bytes(1);
    return b.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(b[0]);
  }
  std::uint16_t u16() {
    ByteView b = bytes(2);
    return b.empty() ? std::uint16_t{0} : load_be16(b.data());
  }
  std::uint32_t u24() {
    ByteView b = bytes(3);
    return b.empty() ? 0 : load_be24(b.data());
  }
  std::uint32_t u32() {
    ByteView b = bytes(4);
    return b.empty() ? 0 : load_be32(b.data());
  }
  std::uint64_t u64() {
    ByteView b = bytes(8);
    return b.empty() ? 0 : load_be64(b.data());
  }
  ByteView rest() { return bytes(in_.size()); }
  std::size_t remaining() const { return in_.size(); }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && in_.empty(); }

 private:
  ByteView in_;
  bool ok_ = true;
};

// Appends big-endian fields to a vector.
class Writer {
 public:
  explicit Writer(Bytes& out) : out_(out) {}
  void bytes(ByteView b) { out_.insert(out_.end(), b.begin(), b.end()); }
  void u8(std::uint8_t v) { out_.push_back(std::byte{v}); }
  void u16(std::uint16_t v) { store_be16(grow(2), v); }
  void u24(std::uint32_t v) { store_be24(grow(3), v); }
  void u32(std::uint32_t v) { store_be32(grow(4), v); }
  void u64(std::uint64_t v) { store_be64(grow(8), v); }

 private:
  std::byte* grow(std::size_t n) {
    out_.resize(out_.size() + n);
    return out_.data() + out_.size() - n;
  }
  Bytes& out_;
};

// RFC 4648 text encodings: base32 in lower case and without padding, hexadecimal in lower case.
std::string to_hex(ByteView bytes);
std::optional<Bytes> from_hex(std::string_view text);
std::string to_base32(ByteView bytes);
// Upper case is accepted as well. nullopt for any other character, and for bits that no encoder would have left over.
std::optional<Bytes> from_base32(std::string_view text);

}  // namespace eps
