// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>

#include "base/bytes.h"

namespace eps::crypto {

// Overwrites memory in a way that the compiler must not remove.
void wipe(ByteSpan bytes);
// Compares in time that depends only on the sizes.
bool constant_time_equal(ByteView a, ByteView b);

// N secret bytes: move-only, wiped on destruction, neither printable nor comparable with ==.
template <std::size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const std::byte, N> from) { std::memcpy(bytes_.data(), from.data(), N); }
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(bytes_); }

  // A deliberate copy.
  Secret clone() const { return Secret(std::span<const std::byte, N>(bytes_)); }
  std::span<const std::byte, N> view() const { return bytes_; }
  std::span<std::byte, N> writable() { return bytes_; }

 private:
  std::array<std::byte, N> bytes_{};
};

using Key = Secret<32>;

}  // namespace eps::crypto
