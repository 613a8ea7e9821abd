// SPDX-License-Identifier: MIT
#pragma once

// A member that this client treats as if it were none.

#include <string>

namespace eps::node {

struct RefusedPeer {
  std::string why, mend;  // sentences
  bool by_lock = false;   // else because of its key (node/known_peers.h)
};

}  // namespace eps::node
