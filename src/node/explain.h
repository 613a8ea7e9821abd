// SPDX-License-Identifier: MIT
#pragma once

// What is said of a peer, and why a path is what it is: told from what was tried, not guessed.

#include "base/time.h"
#include "dataplane/peer_table.h"
#include "model/nat.h"
#include "model/status.h"
#include "node/peer.h"

namespace eps::node {

// What such sentences have to know of this node.
struct Standpoint {
  NatMapping nat = NatMapping::unknown;  // in front of it
  bool forwarded = false;                // its router forwards a port to it
  bool server_relays = false;
};

// `route`: as it was published last.
PeerStatus status_of(const Peer& peer, const dataplane::Peer& route, const Standpoint& here, Instant now);

}  // namespace eps::node
