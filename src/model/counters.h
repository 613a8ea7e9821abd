#pragma once

// Traffic counters of one peer or of a whole daemon. Written by the data plane with relaxed atomics (each counter has
// one writer at a time or uses fetch_add), read by reports at any time.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <map>
#include <string>

#include "model/status.h"

namespace eps {

// Why a frame or datagram was thrown away. Each has a counter and a stable name in reports.
enum class Drop : std::uint8_t {
  none,
  malformed,          // does not parse
  unknown_session,    // no session has this receiver index
  bad_tag,            // authentication failed
  replayed,           // a counter seen before, or older than the window
  expired,            // the session is past its lifetime or its count
  spoofed_source,     // a source MAC or IP address that the sender does not own
  wrong_destination,  // a unicast frame for somebody else
  no_peer,            // no member has this destination MAC
  not_ready,          // the queue of frames that wait for a session is full
  congested,          // a bounded queue or the kernel's buffer for sending is full
  overrun,            // the kernel's buffer for receiving was full
  unauthorised,       // a relay or bind request from an endpoint that did not prove itself
  rate_limited,       // a sender beyond its share
  oversized,          // too large even for pieces
  looped,             // EPS traffic that a route led into the EPS interface
  incomplete,         // a frame of which pieces were lost on the way
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
// By the name of the reason, those that are not zero.
std::map<std::string, std::uint64_t> nonzero_drops(const Counters& counters);

}  // namespace eps
