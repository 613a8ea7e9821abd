#pragma once

// Which members an idle node keeps a session with while there is no server: they tell two others that do not know where
// the other is now, or whose NATs have forgotten everything, where it is (find and introduce, path_message.h). All
// choose by the same order, so that any two have one in common; and few, so that an idle network stays quiet.

#include <cstddef>
#include <vector>

#include "base/types.h"

namespace eps::mesh {

inline constexpr std::size_t kAnchors = 3;

struct AnchorCandidate {
  MemberId id;
  bool reachable = false;  // at an address that everybody can send to: public, or a forwarded port
  bool relays = false;     // for others
  bool direct = false;     // there is a session with a direct path now
};

// The best kAnchors, best first. One that is neither reachable nor has a direct path cannot be any.
std::vector<MemberId> choose_anchors(std::vector<AnchorCandidate> all);

}  // namespace eps::mesh
