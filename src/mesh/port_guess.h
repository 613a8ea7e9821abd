// SPDX-License-Identifier: MIT
#pragma once

// Connects a node behind a hard NAT, which makes a new mapping for each destination, with a node behind an easier NAT
// or only a firewall. The port that the hard NAT chooses for the second node cannot be known, but it can be hit by
// guessing:
//
//   many   the node behind the hard NAT sends from kSockets sockets, so that as many of its NAT's ports lead to it
//   guess  the other one sends to that NAT's ports, first those next to the one that the server saw, then at random
//
// A NAT with m of P = 64,512 ports open is hit within g guesses with probability 1 - (1 - m/P)^g: for m = kSockets the
// median is 117 guesses, and kMaxGuesses miss in 0.5 % of cases (the birthday paradox, as in the Tailscale team's "How
// NAT traversal works"). A burst that missed, by chance or because its call was lost, is repeated after seconds.
//
// Every guess, and every socket, is an entry in the connection table of this node's router for half a minute, and cheap
// routers have room for 4,096 in all. So one burst makes at most 1,000, spread over more than a second, and GuessBudget
// limits what bursts to all peers make at once and in an hour, and what one address is sent.

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "model/nat.h"
#include "model/status.h"

namespace eps::mesh {

class PortGuess {
 public:
  // `both`: both are behind NATs of which neither has shown itself to be hard, yet nothing gets through: one of them
  // may map by address, which two ports of one server cannot show. Tried once for each pair (node/).
  enum class Role : std::uint8_t { none, many, guess, both };
  static constexpr std::size_t kSockets = 384;
  static constexpr std::size_t kMaxGuesses = 900;
  static constexpr std::size_t kMaxGuessesOfBoth = 540;  // whose sockets make entries as well
  static constexpr std::size_t kNear = 32;               // guesses next to the known port
  static constexpr Duration kFor = std::chrono::seconds(6);
  static constexpr Duration kStep = std::chrono::milliseconds(10);
  static constexpr std::size_t kPerStep = 5;
  static constexpr Duration kAgain = std::chrono::seconds(1);  // `many` sends once more, in case of loss

  // The role of this node towards a peer; `in_vain`: plain probes have been tried long enough.
  static Role role_of(NatMapping own, NatMapping peer, bool in_vain);

  // `near`: a port of the peer's NAT that the server saw.
  PortGuess(Role role, std::uint16_t near, Rng& rng, Instant now);
  Role role() const { return role_; }
  std::uint64_t id() const { return id_; }  // of every ping of this burst
  bool over(Instant now) const { return now >= ends_; }
  Instant next_deadline() const { return std::min({next_guess_, next_send_, ends_}); }
  bool needs_sockets() const { return role_ != Role::guess; }
  // The most that the whole burst makes.
  static std::size_t entries_of(Role role);
  static std::size_t guesses_of(Role role);
  // The ports to send to now; none in role many.
  std::vector<std::uint16_t> take_ports(Instant now);
  // True if every socket should send now; never in role guess.
  bool take_send(Instant now);

 private:
  static constexpr std::uint32_t kFirstPort = 1024;
  static constexpr std::uint32_t kPorts = 65536 - kFirstPort;
  void draw_ports(std::uint16_t near, Rng& rng);

  Role role_;
  std::uint64_t id_;
  std::vector<std::uint16_t> ports_;  // to guess
  std::size_t guesses_ = 0;
  Instant next_guess_ = kNever, next_send_ = kNever, ends_;
  int sends_ = 0;
};

// Limits what the bursts of this node cost its router and the owners of the addresses that it sends guesses to.
class GuessBudget {
 public:
  static constexpr std::size_t kEntriesAnHour = 6000;  // made by all bursts: six without a hit, twenty with one
  static constexpr std::size_t kEntriesAtOnce = 1900;  // two bursts within kEntryLives, while the router has the first
  static constexpr Duration kEntryLives = std::chrono::seconds(45);  // Linux: 30 s without an answer; and the burst
  static constexpr std::size_t kGuessesAnAddress = 2100;             // an hour: two bursts, or three of `both`
  static constexpr Duration kWindow = std::chrono::hours(1);
  static constexpr std::size_t kMaxRemembered = 256;

  // A burst of this role at this address may begin.
  bool allows(PortGuess::Role role, const IpAddress& at, Instant now);
  // This many entries were made, of which `guesses` were sent to ports of this address.
  void charge(const IpAddress& at, std::size_t entries, std::size_t guesses, Instant now);
  std::size_t entries(Instant now, Duration lately = kWindow);

 private:
  struct Charge {
    Instant when;
    IpAddress at;
    std::size_t entries = 0, guesses = 0;
  };
  void forget_old(Instant now);
  std::deque<Charge> charges_;
};

}  // namespace eps::mesh
