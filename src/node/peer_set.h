// SPDX-License-Identifier: MIT
#pragma once

// Who the other members are, and which of them this node has to do with. An event of one costs nothing for the others:
// most are silent, no event visits them all, and they cost their record alone.
//
// A step that changes a Peer touches it, which find() does; at the end of the step settle() computes its deadline anew.
// Pointers to a Peer hold until settle() or erase().
//
// Sans I/O. Thread rules: one thread at a time.

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "model/network.h"
#include "node/peer.h"

namespace eps::node {

class PeerSet {
 public:
  explicit PeerSet(Rng& rng) : rng_(rng) {}

  // All other members.
  const MemberMap& members() const { return members_; }
  const Member* member(MemberId id) const { return members_.find(id); }
  std::optional<MemberId> owner_of(const PublicKey& key) const;
  // A new record of a member. The Peer, if it has one, is left as it is.
  void put(const MemberMap::Record& record);
  void erase(MemberId id);

  // Those with which there is or was a handshake, a session or a frame.
  std::map<MemberId, Peer>& awake() { return awake_; }
  const std::map<MemberId, Peer>& awake() const { return awake_; }
  // Null: it is silent, or no member.
  const Peer* awake(MemberId id) const;
  // Those with a session, a handshake or a timer, or touched in this step.
  const std::map<MemberId, Peer*>& live() const { return live_; }
  // Those with which there is or was a session.
  const std::map<MemberId, Peer*>& met() const { return met_; }

  // Touches it. A silent member wakes: it becomes a Peer. Null: no member.
  struct Found {
    Peer* peer = nullptr;
    bool woke = false;
  };
  Found find(MemberId id);
  void touch(Peer& peer);
  // Ends a step: `deadline_of` is asked for each peer touched. Those that will do nothing by themselves, and of which a
  // member on the list alone lacks nothing, are silent again.
  template <class DeadlineOf>
  void settle(DeadlineOf&& deadline_of) {
    for (Peer* peer : std::exchange(touched_, {})) {
      peer->touched = false;
      if (peer->sessions.current() || !peer->sessions.receiving().empty()) met_.emplace(peer->member.id, peer);
      settle(*peer, deadline_of(*peer));
    }
  }
  Instant next_deadline() const { return timers_.empty() ? kNever : timers_.begin()->first; }
  // REQUIRES: settled.
  std::vector<MemberId> due(Instant now) const;

 private:
  void settle(Peer& peer, Instant deadline);
  std::vector<MemberMap::Record>::const_iterator place(const PublicKey& key) const;
  void forget_key(const Member& member);

  Rng& rng_;
  MemberMap members_;
  std::vector<MemberMap::Record> by_key_;  // in order
  std::map<MemberId, Peer> awake_;
  std::map<MemberId, Peer*> live_;
  std::map<MemberId, Peer*> met_;
  std::vector<Peer*> touched_;
  std::set<std::pair<Instant, MemberId>> timers_;
};

}  // namespace eps::node
