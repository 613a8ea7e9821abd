// SPDX-License-Identifier: MIT
#pragma once

// Which members a change of the list affects, so that code need not look at all of them: the cost of a change to a
// client must not grow with the network.

#include <algorithm>
#include <vector>

#include "base/types.h"

namespace eps {

struct MembersChanged {
  bool all = false;
  std::vector<MemberId> ids;  // unless it affects all; ascending, without duplicates

  bool any() const { return all || !ids.empty(); }
  static MembersChanged of(std::vector<MemberId> ids) {
    std::ranges::sort(ids);
    const auto again = std::ranges::unique(ids);
    ids.erase(again.begin(), again.end());
    return {false, std::move(ids)};
  }
  void merge(MembersChanged&& other) {
    if (all || other.all) {
      *this = {true, {}};
    } else if (ids.empty()) {
      ids = std::move(other.ids);
    } else if (!other.ids.empty()) {
      other.ids.insert(other.ids.end(), ids.begin(), ids.end());
      *this = of(std::move(other.ids));
    }
  }
};

}  // namespace eps
