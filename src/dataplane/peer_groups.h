// SPDX-License-Identifier: MIT
#pragma once

// Which multicast a peer takes, by its own account. Frames that it would discard are not sent to it for a minute; then
// one of them makes it repeat what it takes ("prune" of RFC 3973, between two members).

#include <atomic>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"
#include "model/group_filter.h"

namespace eps::dataplane {

// Also the longest time for which a lost message, or a restart that nobody noticed, costs multicast.
inline constexpr Duration kFilterLife = std::chrono::seconds(60);

// Thread-safe.
class PeerGroups {
 public:
  void told(GroupFilter filter, Instant now) {
    const Lock lock(mutex_);
    filter_ = std::move(filter);
    until_.store((now + kFilterLife).time_since_epoch().count(), std::memory_order_relaxed);
  }
  // It may have restarted.
  void forget() { until_.store(0, std::memory_order_relaxed); }
  bool refuses(const Mac& group, Instant now) const {
    if (now.time_since_epoch().count() >= until_.load(std::memory_order_relaxed)) return false;
    const Lock lock(mutex_);
    return !filter_.takes(group);
  }

 private:
  mutable Mutex mutex_;
  GroupFilter filter_ EPS_GUARDED_BY(mutex_);
  std::atomic<Instant::rep> until_{0};
};

}  // namespace eps::dataplane
