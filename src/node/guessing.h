// SPDX-License-Identifier: MIT
#pragma once

// Bursts at the ports of NATs that make a new mapping for each destination (mesh/port_guess.h): one at a time, each
// with its side sockets, of which those that became part of a path stay.

#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "dataplane/commit.h"
#include "mesh/path_finder.h"
#include "mesh/port_guess.h"
#include "model/nat.h"
#include "model/network.h"

namespace eps::node {

class Guessing {
 public:
  // The part of one peer.
  class Record {
   public:
    // One of the NATs may have been replaced: the pauses after failed bursts end.
    void forgive() { in_vain_ = 0; }

   private:
    friend class Guessing;
    int in_vain_ = 0;  // consecutive bursts that hit nothing
    Instant began_{};
    std::vector<ports::SocketId> sides_;  // existing for this peer
  };
  struct Target {
    MemberId id;
    Record& record;
    mesh::PathFinder& path;
    bool session = false;                  // messages can be sealed for it
    NatMapping nat = NatMapping::unknown;  // in front of it, as reported by it
    std::optional<Endpoint> at = {};       // a verified IPv4 endpoint of it, not just a claimed one
  };
  enum class Asked : std::uint8_t { no, by_the_peer };

  Guessing(dataplane::Outbox& out, Rng& rng) : out_(out), rng_(rng) {}

  // Both ends have to act at the same time: the one that starts says so, and the other follows unless that was just
  // done. True: a burst has started; unless the peer asked for it, call the peer.
  bool consider(const Target& target, NatMapping own_nat, const std::vector<Candidate>& own, Asked asked, Instant now);
  // What to send now; `socket`: the local one that the server sees. Ends the burst when it hit or is over.
  std::vector<mesh::Ping> run(const Target& target, ports::SocketId socket, Instant now);
  // Ends the burst if it is for this peer.
  void stop(const Target& target, Instant now);
  // Closes the side sockets that neither end uses any more. REQUIRES: no burst is running for this peer with a session.
  void tidy(const Target& target, Instant now);

  bool runs_for(MemberId peer) const { return burst_ && burst_->peer == peer; }
  // Whether the answer is to a ping of the burst for this peer.
  bool asked(MemberId peer, std::uint64_t ping) const { return runs_for(peer) && burst_->guess.id() == ping; }
  Instant next_deadline(MemberId peer) const { return runs_for(peer) ? burst_->guess.next_deadline() : kNever; }

 private:
  struct Burst {
    MemberId peer;
    mesh::PortGuess guess;
  };
  static bool paused(const Record& record, bool follow, Instant now);

  dataplane::Outbox& out_;
  Rng& rng_;
  std::optional<Burst> burst_;
  mesh::GuessBudget budget_;
};

}  // namespace eps::node
