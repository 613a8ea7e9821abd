// SPDX-License-Identifier: MIT
#pragma once

// The unused addresses of a network; no operation grows with the number of addresses in use.

#include <cstdint>
#include <optional>

#include "base/run_set.h"
#include "base/types.h"

namespace eps::registry {

class FreeAddresses {
 public:
  FreeAddresses() = default;
  // Initially all hosts of the network are free.
  explicit FreeAddresses(const Ip4Network& network) : first_(network.base.value + 1), count_(network.host_count()) {
    free_.add_run(first_, first_ + count_);
  }
  bool contains(Ip4 ip) const { return free_.contains(ip.value); }
  // Does nothing if the address is not free or lies outside of the network.
  void take(Ip4 ip) { free_.remove(ip.value); }
  void release(Ip4 ip) {
    if (ip.value >= first_ && ip.value - first_ < count_) free_.add(ip.value);
  }
  std::optional<Ip4> lowest() const {
    if (free_.runs().empty()) return std::nullopt;
    return Ip4{free_.runs().begin()->first};
  }
  // The first free address from `ip` on, wrapping around at the end.
  std::optional<Ip4> from(Ip4 ip) const {
    if (contains(ip)) return ip;
    const auto it = free_.runs().upper_bound(ip.value);
    return it == free_.runs().end() ? lowest() : Ip4{it->first};
  }

 private:
  RunSet free_;
  std::uint32_t first_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace eps::registry
