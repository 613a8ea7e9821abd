// SPDX-License-Identifier: MIT
#pragma once

// What a relay still passes on for one member as the sender (model/relay_limit.h). Shared by all workers, and by the
// member's consecutive connections, so that a new one brings nothing back. Any thread.

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/rate_limit.h"
#include "base/time.h"
#include "model/relay_limit.h"

namespace eps::dataplane {

class RelayQuota {
 public:
  // At once, after a pause: what TCP needs for a round trip, and the kernel's runs.
  static constexpr Duration kBurst = std::chrono::milliseconds(200);
  static constexpr std::uint64_t kLeastBurst = 256 * 1024;  // bytes
  static constexpr std::uint64_t kLeastPackets = 256;

  // Holds for what comes next; a daily volume that was in use goes on.
  void set(const RelayLimit& limit) {
    bits_.store(limit.bits_per_second, std::memory_order_relaxed);
    packets_.store(limit.packets_per_second, std::memory_order_relaxed);
    day_.store(limit.bytes_per_day, std::memory_order_relaxed);
  }
  // Whether a datagram of this size may pass; if not, it is counted.
  bool take(std::size_t bytes, Instant now) {
    const std::uint64_t packets = packets_.load(std::memory_order_relaxed);
    const std::uint64_t rate = bits_.load(std::memory_order_relaxed) / 8;
    const std::uint64_t day = day_.load(std::memory_order_relaxed);
    const Duration packet = packets == 0 ? Duration{} : cost(1, kSecond, packets);
    const Duration size = rate == 0 ? Duration{} : cost(bytes, kSecond, rate);
    if (packets != 0 && !by_packet_.take(now, packet, std::max(kBurst, cost(kLeastPackets, kSecond, packets)))) {
      return refuse(bytes);
    }
    if (rate != 0 && !by_size_.take(now, size, std::max(kBurst, cost(kLeastBurst, kSecond, rate)))) {
      if (packets != 0) by_packet_.give_back(packet);
      return refuse(bytes);
    }
    if (day != 0 && !by_day_.take(now, cost(bytes, kDay, day), kDay)) {
      if (packets != 0) by_packet_.give_back(packet);
      if (rate != 0) by_size_.give_back(size);
      return refuse(bytes);
    }
    return true;
  }
  // True once, and again after end_telling(): the caller has to report what was dropped.
  bool begin_telling() {
    return !telling_.load(std::memory_order_relaxed) && !telling_.exchange(true, std::memory_order_relaxed);
  }
  void end_telling() { telling_.store(false, std::memory_order_relaxed); }
  std::uint64_t packets_dropped() const { return packets_dropped_.load(std::memory_order_relaxed); }
  std::uint64_t bytes_dropped() const { return bytes_dropped_.load(std::memory_order_relaxed); }

 private:
  static constexpr Duration kSecond = std::chrono::seconds(1);
  static constexpr Duration kDay = std::chrono::hours(24);
  static Duration cost(std::uint64_t units, Duration period, std::uint64_t per_period) {
    return Duration(static_cast<Duration::rep>(units * static_cast<std::uint64_t>(period.count()) / per_period));
  }
  bool refuse(std::size_t bytes) {
    packets_dropped_.fetch_add(1, std::memory_order_relaxed);
    bytes_dropped_.fetch_add(bytes, std::memory_order_relaxed);
    return false;
  }

  std::atomic<std::uint64_t> bits_{0}, packets_{0}, day_{0};
  RateLimit by_packet_, by_size_, by_day_;
  std::atomic<bool> telling_{false};
  std::atomic<std::uint64_t> packets_dropped_{0}, bytes_dropped_{0};
};

}  // namespace eps::dataplane
