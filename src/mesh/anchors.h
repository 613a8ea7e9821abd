#pragma once

// Which members an idle node keeps a session with while there is no server: they tell two others that do not know where
// the other is now, or whose NATs have forgotten everything, where it is (find and introduce, path_message.h). All
// choose few, so that an idle network stays quiet.
//
// In a small network all choose by the same order, so that any two have one in common. In a larger one, where that
// would send everybody to the same three, each draws its own by a hash of both numbers, which all others can repeat:
// who looks for it asks those.

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

// The best kAnchors, best first. One that is neither reachable nor has a direct path cannot be any.
std::vector<MemberId> choose_anchors(std::vector<AnchorCandidate> all);

// The anchors of member `of` in a network of so many members of which these are reachable. None, where those are so few
// that with everybody they would serve more than kAnchorLoad each: then only a share of the members has anchors.
std::vector<MemberId> anchors_of(MemberId of, const std::vector<MemberId>& reachable, std::size_t members);

}  // namespace eps::mesh
