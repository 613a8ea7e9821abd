// SPDX-License-Identifier: MIT
#pragma once

// Remembers for a while to which destinations a segmented send of which size failed (the route's MTU is smaller, or its
// device cannot checksum), so that not every batch pays for a failing system call.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/mutex.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::os {

// Thread rules: any thread at any time.
class GsoMemory {
 public:
  static constexpr std::size_t kMaxEntries = 64;  // the entry that ends first makes room
  static constexpr Duration kHold = std::chrono::seconds(10);

  // Nothing is remembered: cheap, for every send.
  bool empty() const { return !any_.load(std::memory_order_relaxed); }
  // May a run of `segment_size` bytes each go to `ip` as one segmented send?
  bool allows(const IpAddress& ip, std::uint16_t segment_size, Instant now);
  // A segmented send of this size failed where single sends succeeded.
  void failed(const IpAddress& ip, std::uint16_t segment_size, Instant now);

 private:
  struct Entry {
    IpAddress ip;
    std::uint16_t smallest_failed = 0;
    Instant until{};
  };
  std::atomic<bool> any_{false};
  Mutex mutex_;
  std::array<Entry, kMaxEntries> entries_ EPS_GUARDED_BY(mutex_){};
};

}  // namespace eps::os
