// SPDX-License-Identifier: MIT
#include "control/endpoint_news.h"

#include <algorithm>

namespace eps::control {

void EndpointNews::observed(MemberId member, const Endpoint& endpoint) {
  auto& all = paces_[member].news.observed;
  std::erase_if(all, [&](const Endpoint& e) { return e.ip.is_v4() == endpoint.ip.is_v4(); });
  all.push_back(endpoint);
}

EndpointNews::Verdict EndpointNews::judge(MemberId member, Instant now) {
  Pace& pace = paces_[member];
  if (!pace.due && pace.rate.take(now, kNewsPause, kNewsBurst)) return Verdict::now;
  ++pace.held;
  if (!pace.due) {
    pace.due = std::max(now, pace.rate.ready_at(kNewsBurst));
    due_.emplace(*pace.due, member);
  }
  return pace.excess.add(now, kNewsWindow, kNewsFlood) ? Verdict::flooded : Verdict::waits;
}

bool EndpointNews::waits(MemberId member) const {
  const auto it = paces_.find(member);
  return it != paces_.end() && it->second.due;
}

EndpointNews::News EndpointNews::take(MemberId member) {
  const auto it = paces_.find(member);
  if (it == paces_.end()) return {};
  Pace& pace = it->second;
  if (pace.due) due_.erase({*pace.due, member});
  pace.due.reset();
  return std::exchange(pace.news, {});
}

std::vector<MemberId> EndpointNews::take_due(Instant now) {
  std::vector<MemberId> out;
  while (!due_.empty() && due_.begin()->first <= now) {
    const MemberId member = due_.begin()->second;
    due_.erase(due_.begin());
    Pace& pace = paces_.at(member);
    pace.due.reset();
    (void)pace.rate.take(now, kNewsPause, kNewsBurst);
    out.push_back(member);
  }
  return out;
}

void EndpointNews::forget(MemberId member) {
  (void)take(member);
  paces_.erase(member);
}

bool EndpointNews::floods(MemberId member, Instant now) const {
  const auto it = paces_.find(member);
  return it != paces_.end() && it->second.excess.much_at() > Instant{} &&
         now - it->second.excess.much_at() < kNewsWindow;
}

std::uint64_t EndpointNews::held(MemberId member) const {
  const auto it = paces_.find(member);
  return it == paces_.end() ? 0 : it->second.held;
}

}  // namespace eps::control
