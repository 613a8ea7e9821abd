// SPDX-License-Identifier: MIT
#pragma once

// Which multicast this computer takes, and which peers know. A peer is told when it sends what this computer would
// discard, and again when that changes.

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/time.h"
#include "base/types.h"
#include "model/group_filter.h"

namespace eps::node {

// A little longer than peers remember it.
inline constexpr Duration kFilterKnownFor = std::chrono::seconds(75);
// After a change each report of the kernel, which repeats them because of loss, repeats ours.
inline constexpr Duration kRepeatGroupsFor = std::chrono::seconds(10);

class Listening {
 public:
  // A frame came that nobody here listens to.
  void unwanted_from(MemberId peer) {
    asking_.insert(peer);
    look_ = true;
  }
  // The kernel reported groups to the link.
  void reported() { look_ = true; }
  // Whether the kernel's filter is needed; true once.
  bool take_look() { return std::exchange(look_, false); }
  // The kernel's filter. Returns the peers to tell.
  std::set<MemberId> on_filter(GroupFilter filter, Instant now);
  // Replaced when it changes.
  const std::shared_ptr<const GroupFilter>& filter() const { return filter_; }

 private:
  std::shared_ptr<const GroupFilter> filter_ = std::make_shared<const GroupFilter>();
  Instant changed_at_{};
  std::set<MemberId> asking_;
  std::map<MemberId, Instant> told_;
  bool look_ = false;
};

}  // namespace eps::node
