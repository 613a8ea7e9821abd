// SPDX-License-Identifier: MIT
#pragma once

// Traffic counters of one peer or of a whole daemon. Written by the data plane with relaxed atomics (each counter has
// one writer at a time or uses fetch_add), and read by reports at any time.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <map>
#include <string>

#include "model/status.h"

namespace eps {

// Why a frame or datagram was dropped; model/drop_reason.h explains each reason. Each has a counter, and a stable name
// in reports.
enum class Drop : std::uint8_t {
  none,
  malformed,
  unknown_session,
  bad_tag,
  replayed,
  expired,
  spoofed_source,
  wrong_destination,
  no_peer,
  not_ready,
  congested,
  overrun,
  unauthorised,
  rate_limited,
  oversized,
  looped,
  interface_down,
  incomplete,
  bridge_loop,
  policy,
  relay_limit,
  other_psk,
  kCount,
};
const char* name_of(Drop drop);

struct Counters {
  std::atomic<std::uint64_t> packets_sent{0};  // inner frames for this peer, as the TAP gave them or as segments cut
  std::atomic<std::uint64_t> bytes_sent{0};    // inner Ethernet bytes
  std::atomic<std::uint64_t> packets_received{0};
  std::atomic<std::uint64_t> bytes_received{0};
  std::atomic<std::uint64_t> packets_forwarded{0};
  std::atomic<std::uint64_t> bytes_forwarded{0};
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Drop::kCount)> drops{};

  void drop(Drop reason, std::uint64_t n = 1) {
    drops[static_cast<std::size_t>(reason)].fetch_add(n, std::memory_order_relaxed);
  }
  void sent(std::uint64_t packets, std::uint64_t bytes) {
    packets_sent.fetch_add(packets, std::memory_order_relaxed);
    bytes_sent.fetch_add(bytes, std::memory_order_relaxed);
  }
  void received(std::uint64_t packets, std::uint64_t bytes) {
    packets_received.fetch_add(packets, std::memory_order_relaxed);
    bytes_received.fetch_add(bytes, std::memory_order_relaxed);
  }
  void forwarded(std::uint64_t packets, std::uint64_t bytes) {
    packets_forwarded.fetch_add(packets, std::memory_order_relaxed);
    bytes_forwarded.fetch_add(bytes, std::memory_order_relaxed);
  }
};

TrafficTotals totals_of(const Counters& counters);
// Non-zero counters by the name of the reason.
std::map<std::string, std::uint64_t> nonzero_drops(const Counters& counters);

}  // namespace eps
