// SPDX-License-Identifier: MIT
#include "control/join_limit.h"

#include <algorithm>

#include "base/ip_network.h"

namespace eps::control {

bool JoinLimit::take(const IpAddress& from, Instant now) {
  const IpAddress source = subscriber_of(from);
  if (!buckets_.contains(source) && buckets_.size() >= kMaxJoinSources) make_room(now);
  Bucket& bucket = buckets_[source];
  const Instant full_at = std::max(bucket.full_at, now) + kJoinRefill;
  if (full_at > now + kJoinBurst * kJoinRefill) return false;
  bucket.full_at = full_at;
  return true;
}

Duration JoinLimit::wait_for(const IpAddress& from, Instant now) const {
  const auto it = buckets_.find(subscriber_of(from));
  if (it == buckets_.end()) return Duration{};
  return std::max(Duration{}, it->second.full_at - (now + (kJoinBurst - 1) * kJoinRefill));
}

void JoinLimit::make_room(Instant now) {
  std::erase_if(buckets_, [&](const auto& entry) { return entry.second.full_at <= now; });
  if (buckets_.size() < kMaxJoinSources) return;
  buckets_.erase(std::ranges::min_element(buckets_, {}, [](const auto& entry) { return entry.second.full_at; }));
}

}  // namespace eps::control
