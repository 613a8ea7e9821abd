// SPDX-License-Identifier: MIT
#include "node/listening.h"

namespace eps::node {

std::set<MemberId> Listening::on_filter(GroupFilter filter, Instant now) {
  if (filter.all || filter.macs.size() > kMaxFilteredGroups) filter = {};
  if (*filter_ != filter) {
    filter_ = std::make_shared<const GroupFilter>(std::move(filter));
    changed_at_ = now;
  }
  std::erase_if(told_, [&](const auto& told) { return now - told.second >= kFilterKnownFor; });
  std::set<MemberId> out = std::exchange(asking_, {});
  if (filter_->all) out.clear();
  if (now - changed_at_ < kRepeatGroupsFor) {
    for (const auto& [peer, at] : told_) out.insert(peer);
  }
  for (const MemberId peer : out) told_.insert_or_assign(peer, now);
  return out;
}

}  // namespace eps::node
