// SPDX-License-Identifier: MIT
#pragma once

// The sessions that are kept without traffic while the server's relay is away (mesh/anchors.h): whose, and whom to ask
// where a member is now.
//
// Sans I/O. Thread rules: one thread at a time.

#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "model/network.h"
#include "node/peer_set.h"

namespace eps::node {

// Its candidates show an address that any computer may send to: behind a NAT only the port that this forwards to it.
bool has_public_address(const Member& member);

class Anchors {
 public:
  explicit Anchors(Rng& rng) : rng_(rng) {}

  // The server's relay became usable, and sessions are kept no longer; or unusable.
  void set_relayed(bool relayed, PeerSet& peers, Instant now);
  Instant next_deadline() const { return at_; }
  // Whose sessions to keep from now on, for the caller to mark as kept (Peer::kept); no others are. nullopt: it is not
  // the time.
  std::optional<std::vector<MemberId>> take_due(MemberId self, PeerSet& peers, Instant now);
  // In a large network: those most likely to know where this peer is now. None for a peer that can be asked itself, so
  // that the search for an anchor triggers no other.
  std::vector<MemberId> of(const Peer& peer, const PeerSet& peers) const;

 private:
  Rng& rng_;
  Instant at_ = kNever;
  std::vector<MemberId> reachable_;  // in a large network, when they were last chosen
};

}  // namespace eps::node
