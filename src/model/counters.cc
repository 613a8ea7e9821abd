// SPDX-License-Identifier: MIT
#include "model/counters.h"

namespace eps {

TrafficTotals totals_of(const Counters& c) {
  return {c.packets_sent, c.bytes_sent, c.packets_received, c.bytes_received, c.packets_forwarded, c.bytes_forwarded};
}

std::map<std::string, std::uint64_t> nonzero_drops(const Counters& counters) {
  std::map<std::string, std::uint64_t> out;
  for (std::size_t i = 0; i < counters.drops.size(); ++i) {
    const std::uint64_t n = counters.drops[i].load(std::memory_order_relaxed);
    if (n > 0) out.emplace(name_of(static_cast<Drop>(i)), n);
  }
  return out;
}

}  // namespace eps
