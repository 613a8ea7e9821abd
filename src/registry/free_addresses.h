// SPDX-License-Identifier: MIT
#pragma once

// The unused addresses of a network, as ranges, so that no operation grows with the number of addresses in use.

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

#include "base/types.h"

namespace eps::registry {

class FreeAddresses {
 public:
  FreeAddresses() = default;
  // Initially all hosts of the network are free.
  explicit FreeAddresses(const Ip4Network& network) : first_(network.base.value + 1), count_(network.host_count()) {
    ranges_.emplace(first_, first_ + count_);
  }
  bool contains(Ip4 ip) const {
    const auto it = ranges_.upper_bound(ip.value);
    return it != ranges_.begin() && ip.value < std::prev(it)->second;
  }
  // Does nothing if the address is not free or lies outside of the network.
  void take(Ip4 ip) {
    if (!contains(ip)) return;
    const auto it = std::prev(ranges_.upper_bound(ip.value));
    const std::uint32_t end = it->second;
    it->second = ip.value;
    if (it->second == it->first) ranges_.erase(it);
    if (ip.value + 1 < end) ranges_.emplace(ip.value + 1, end);
  }
  void release(Ip4 ip) {
    if (ip.value < first_ || ip.value - first_ >= count_ || contains(ip)) return;
    auto next = ranges_.upper_bound(ip.value);
    std::uint32_t end = ip.value + 1;
    if (next != ranges_.end() && next->first == end) {
      end = next->second;
      next = ranges_.erase(next);
    }
    if (next != ranges_.begin() && std::prev(next)->second == ip.value) {
      std::prev(next)->second = end;
    } else {
      ranges_.emplace(ip.value, end);
    }
  }
  std::optional<Ip4> lowest() const {
    if (ranges_.empty()) return std::nullopt;
    return Ip4{ranges_.begin()->first};
  }
  // The first free address from `ip` on, wrapping around at the end.
  std::optional<Ip4> from(Ip4 ip) const {
    if (contains(ip)) return ip;
    const auto it = ranges_.upper_bound(ip.value);
    return it == ranges_.end() ? lowest() : Ip4{it->first};
  }

 private:
  std::map<std::uint32_t, std::uint32_t> ranges_;  // begin -> end; ranges do not touch
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace eps::registry
