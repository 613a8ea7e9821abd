// SPDX-License-Identifier: MIT
#pragma once

// Bursts at the ports of NATs that map each destination anew (mesh/port_guess.h): one at a time, each with its side
// sockets, of which those stay that became part of a path.

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
  // One peer's.
  class Record {
   public:
    // One of the NATs is perhaps another one: the pauses after bursts that hit nothing are over.
    void forgive() { in_vain_ = 0; }

   private:
    friend class Guessing;
    int in_vain_ = 0;  // bursts in a row that hit nothing
    Instant began_{};
    std::vector<ports::SocketId> sides_;  // that exist for this peer
  };
  struct Target {
    MemberId id;
    Record& record;
    mesh::PathFinder& path;
    bool session = false;                  // messages can be sealed for it
    NatMapping nat = NatMapping::unknown;  // in front of it, as it says
    std::optional<Endpoint> at = {};       // an IPv4 endpoint of it that is not merely claimed
  };
  enum class Asked : std::uint8_t { no, by_the_peer };

  Guessing(dataplane::Outbox& out, Rng& rng) : out_(out), rng_(rng) {}

  // Both ends have to do their part at one time: who begins says so, and is followed unless that was just done. True:
  // a burst has begun; unless the peer asked for it, call it.
  bool consider(const Target& target, NatMapping own_nat, const std::vector<Candidate>& own, Asked asked, Instant now);
  // What is to be sent now; `socket`: the one of ours that the server sees. Ends the burst when it hit or is over.
  std::vector<mesh::Ping> run(const Target& target, ports::SocketId socket, Instant now);
  // Ends the burst for this peer, if that is the one that runs.
  void stop(const Target& target, Instant now);
  // Closes the side sockets that neither end uses any more. No burst may run for this peer that has a session.
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
