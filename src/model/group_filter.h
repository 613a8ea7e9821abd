// SPDX-License-Identifier: MIT
#pragma once

// Which multicast a computer's interface takes. The kernel keeps this filter for network cards; a member tells it to
// its peers, which leave out what it would discard.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/types.h"

namespace eps {

// As many as fit a small datagram. Whoever listens to more gets everything.
inline constexpr std::size_t kMaxFilteredGroups = 64;

struct GroupFilter {
  bool all = true;        // it is a port of a bridge, captures, routes multicast, listens to many groups, or is unknown
  std::vector<Mac> macs;  // ascending; of the groups that programs of this computer listen to. Empty if `all`
  bool takes(const Mac& group) const { return all || std::ranges::binary_search(macs, group); }
  bool operator==(const GroupFilter&) const = default;
};

}  // namespace eps
