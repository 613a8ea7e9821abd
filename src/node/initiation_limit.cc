// SPDX-License-Identifier: MIT
#include "node/initiation_limit.h"

#include <algorithm>

#include "base/ip_network.h"

namespace eps::node {
namespace {
constexpr Duration kBurst = std::chrono::seconds(1);
}  // namespace

bool InitiationLimit::under_load(bool relayed, Instant now) {
  Window& window = relayed ? relayed_ : direct_;
  if (now - window.began >= std::chrono::seconds(1)) window = {now, 0};
  return ++window.count > kLoadLimit;
}

bool InitiationLimit::admit(const IpAddress& source, Instant now) {
  const IpAddress subscriber = subscriber_of(source);
  const auto full = due_.size() >= kMaxInitiationSources && !due_.contains(subscriber);
  if (full && now - swept_at_ >= kBurst) {
    swept_at_ = now;
    std::erase_if(due_, [&](const auto& entry) { return entry.second <= now; });
  }
  // This many sources have proved themselves within a second: the rest waits.
  if (due_.size() >= kMaxInitiationSources && !due_.contains(subscriber)) return false;
  Instant& due = due_[subscriber];
  const Instant next = std::max(due, now) + Duration(std::chrono::seconds(1)) / kSourceRate;
  if (next > now + kBurst) return false;
  due = next;
  return true;
}

}  // namespace eps::node
