// SPDX-License-Identifier: MIT
#include "node/initiation_limit.h"

#include <algorithm>
#include <utility>

#include "base/ip_network.h"

namespace eps::node {
namespace {
constexpr Duration kSecond = std::chrono::seconds(1);
constexpr Duration kBurst = kSecond;
}  // namespace

int InitiationLimit::Window::add(Instant now) {
  if (now - began >= kSecond) *this = {now, 0};
  return ++count;
}

bool InitiationLimit::under_load(bool relayed, Instant now) {
  return (relayed ? relayed_ : direct_).add(now) > kLoadLimit;
}

bool InitiationLimit::offers_cookie(const IpAddress& source, Instant now) {
  return std::ranges::binary_search(addresses_, source) || cookies_.add(now) <= kCookieRate;
}

bool InitiationLimit::wants_addresses(Instant now) const {
  return direct_.count >= kLoadLimit && now - direct_.began < kSecond && now - addresses_at_ >= kSecond;
}

void InitiationLimit::set_addresses(std::vector<IpAddress> addresses, Instant now) {
  addresses_ = std::move(addresses);
  std::ranges::sort(addresses_);
  addresses_at_ = now;
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
  const Instant next = std::max(due, now) + kSecond / kSourceRate;
  if (next > now + kBurst) return false;
  due = next;
  return true;
}

}  // namespace eps::node
