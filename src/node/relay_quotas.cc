// SPDX-License-Identifier: MIT
#include "node/relay_quotas.h"

namespace eps::node {

void RelayQuotas::set(const RelayLimit& limit) {
  limit_ = limit;
  for (const auto& [member, quota] : quotas_) quota->set(limit);
}

const std::shared_ptr<dataplane::RelayQuota>& RelayQuotas::of(MemberId member) {
  auto& quota = quotas_[member];
  if (quota == nullptr) {
    quota = std::make_shared<dataplane::RelayQuota>();
    quota->set(limit_);
  }
  return quota;
}

void RelayQuotas::forget(MemberId member) {
  quotas_.erase(member);
  exceeding_.erase(member);
}

RelayQuotas::Excess RelayQuotas::begin(MemberId member, Instant now) {
  const auto& quota = of(member);
  exceeding_[member] = {quota->packets_dropped(), quota->bytes_dropped()};
  if (tell_at_ == kNever) tell_at_ = now + kTellLimited;
  return {member};
}

std::vector<RelayQuotas::Excess> RelayQuotas::take_due(Instant now) {
  std::vector<Excess> out;
  if (now < tell_at_) return out;
  for (auto it = exceeding_.begin(); it != exceeding_.end();) {
    auto& [member, told] = *it;
    dataplane::RelayQuota& quota = *of(member);
    const std::uint64_t packets = quota.packets_dropped(), bytes = quota.bytes_dropped();
    if (packets == told.packets) {
      quota.end_telling();
      it = exceeding_.erase(it);
      continue;
    }
    out.push_back({member, packets - told.packets, bytes - told.bytes});
    told = {packets, bytes};
    ++it;
  }
  tell_at_ = exceeding_.empty() ? kNever : now + kTellLimited;
  return out;
}

std::uint64_t RelayQuotas::packets_dropped(MemberId member) const {
  const auto it = quotas_.find(member);
  return it == quotas_.end() ? 0 : it->second->packets_dropped();
}

std::string sentence_of(const RelayQuotas::Excess& excess, const std::string& who, const RelayLimit& limit) {
  const std::string beyond = who + " sends more through this relay than " + to_string(limit) + ": ";
  if (excess.packets == 0) return beyond + "the rest is dropped.";
  return beyond + std::to_string(excess.packets) + " packets (" + std::to_string(excess.bytes) +
         " bytes) were dropped within a minute.";
}

}  // namespace eps::node
