// SPDX-License-Identifier: MIT
#pragma once

// Which members changed since a version; a query costs only as much as there were changes.

#include <cstdint>
#include <map>
#include <unordered_map>

#include "base/types.h"

namespace eps::registry {

class ChangeLog {
 public:
  // REQUIRES: `version` is greater than all before.
  void touch(MemberId id, std::uint64_t version) {
    erase(id);
    at_[id] = version;
    by_version_.emplace_hint(by_version_.end(), version, id);
    newest_ = version;
  }
  void erase(MemberId id) {
    const auto it = at_.find(id);
    if (it == at_.end()) return;
    by_version_.erase(it->second);
    at_.erase(it);
  }
  // The version of the last change.
  std::uint64_t newest() const { return newest_; }
  void begin_at(std::uint64_t version) { newest_ = version; }
  // Calls `visit(id)` for each member that changed after `version`, the oldest change first.
  template <class Visit>
  void since(std::uint64_t version, Visit&& visit) const {
    for (auto it = by_version_.upper_bound(version); it != by_version_.end(); ++it) visit(it->second);
  }

 private:
  std::map<std::uint64_t, MemberId> by_version_;
  std::unordered_map<MemberId, std::uint64_t> at_;
  std::uint64_t newest_ = 0;
};

}  // namespace eps::registry
