// SPDX-License-Identifier: MIT
#include "os/gso_memory.h"

#include <algorithm>

namespace eps::os {

bool GsoMemory::allows(const IpAddress& ip, std::uint16_t segment_size, Instant now) {
  const Lock lock(mutex_);
  bool live = false;
  for (const Entry& entry : entries_) {
    if (entry.until <= now) continue;
    if (entry.ip == ip && segment_size >= entry.smallest_failed) return false;
    live = true;
  }
  if (!live) any_.store(false, std::memory_order_relaxed);
  return true;
}

void GsoMemory::failed(const IpAddress& ip, std::uint16_t segment_size, Instant now) {
  const Lock lock(mutex_);
  Entry* entry = &entries_.front();
  for (Entry& other : entries_) {
    if (other.ip == ip && other.until > now) {
      entry = &other;
      segment_size = std::min(segment_size, other.smallest_failed);
      break;
    }
    if (other.until < entry->until) entry = &other;
  }
  *entry = {ip, segment_size, now + kHold};
  any_.store(true, std::memory_order_relaxed);
}

}  // namespace eps::os
