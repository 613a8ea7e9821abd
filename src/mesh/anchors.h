// SPDX-License-Identifier: MIT
#pragma once

// Anchors: the members that an idle node keeps a session with while there is no server. They introduce two others that
// have lost each other, because one moved or their NATs dropped every mapping (find and introduce, path_message.h).
// Every node has few anchors, so that an idle network stays quiet.
//
// In a small network all nodes choose by the same order, so that any two have an anchor in common. In a larger one that
// would load the same three members, so each node's anchors follow from a hash of both numbers. Any other node can
// compute them, and asks them when it looks for that node.

#include <cstddef>
#include <vector>

#include "base/types.h"

namespace eps::mesh {

inline constexpr std::size_t kAnchors = 3;
inline constexpr std::size_t kSmallNetwork = 64;  // members
inline constexpr std::size_t kAnchorLoad = 64;    // members that one anchor serves on average, at most

struct AnchorCandidate {
  MemberId id;
  bool reachable = false;  // at an address that everybody can send to: public, or a forwarded port
  bool relays = false;     // for others
  bool direct = false;     // there is a session with a direct path now
};

// The best kAnchors, best first. A member that is neither reachable nor has a direct path cannot be one.
std::vector<MemberId> choose_anchors(std::vector<AnchorCandidate> all);

// The anchors of member `of` in a network of this many members, of which these are reachable. If these are so few that
// each would serve more than kAnchorLoad members, only a share of the members has anchors, and the others have none.
std::vector<MemberId> anchors_of(MemberId of, const std::vector<MemberId>& reachable, std::size_t members);

}  // namespace eps::mesh
