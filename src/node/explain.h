// SPDX-License-Identifier: MIT
#pragma once

// Explains the state of a peer and of its path, from what was tried rather than from guesses.

#include "base/time.h"
#include "dataplane/peer_table.h"
#include "model/nat.h"
#include "model/status.h"
#include "node/peer.h"

namespace eps::node {

// What the explanations need to know about this node.
struct Standpoint {
  NatMapping nat = NatMapping::unknown;  // in front of it
  bool forwarded = false;                // its router forwards a port to it
  bool server_relays = false;
  bool server_limits = false;  // it drops what this node sends beyond its limit
};

// Of a member that this node is not in touch with.
PeerStatus status_of(const Member& silent, const Standpoint& here);
// `route`: as last published.
PeerStatus status_of(const Peer& peer, const dataplane::Peer& route, const Standpoint& here, Instant now);

}  // namespace eps::node
