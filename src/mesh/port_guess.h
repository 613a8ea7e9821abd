#pragma once

// How a node behind a NAT that maps each destination anew is met by one behind a NAT that does not (or behind none,
// with a firewall). Nobody can know which port the first one's datagrams to the second leave from, but it can be hit:
//
//   many   the node behind the hard NAT sends from kSockets sockets, so that as many of its NAT's ports lead to it
//   guess  the other one sends to that NAT's ports, first those next to the one that the server saw, then at random
//
// A NAT with m of P = 64,512 ports open is hit within g guesses with probability 1 - (1 - m/P)^g: for m = 256 the
// median is 175 guesses, 1,200 miss in 0.8 % of cases, kMaxGuesses in one of twenty billion (the birthday paradox, as
// in the Tailscale team's "How NAT traversal works"). Both ends stop after kFor; one burst is 2 * kSockets datagrams on
// one side and kMaxGuesses on the other.

#include <array>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "model/nat.h"
#include "model/status.h"

namespace eps::mesh {

class PortGuess {
 public:
  // `both`: neither NAT has shown itself to be hard, yet nothing gets through: one of them may map by address, which
  // the two ports of one server cannot tell.
  enum class Role : std::uint8_t { none, many, guess, both };
  static constexpr std::size_t kSockets = 256;
  static constexpr std::size_t kMaxGuesses = 6000;
  static constexpr std::size_t kNear = 32;  // guesses next to the known port
  static constexpr Duration kFor = std::chrono::seconds(6);
  static constexpr Duration kStep = std::chrono::milliseconds(10);
  static constexpr std::size_t kPerStep = 16;
  static constexpr Duration kAgain = std::chrono::seconds(1);  // `many` sends once more, against loss

  // What a node has to do for a peer; `in_vain`: plain probes have been tried long enough.
  static Role role_of(NatMapping own, NatMapping peer, bool in_vain);

  // `near`: a port of the peer's NAT that the server saw.
  PortGuess(Role role, std::uint16_t near, Rng& rng, Instant now);
  Role role() const { return role_; }
  std::uint64_t id() const { return id_; }  // of every ping of this burst
  bool over(Instant now) const { return now >= ends_; }
  Instant next_deadline() const { return std::min({next_guess_, next_send_, ends_}); }
  bool needs_sockets() const { return role_ != Role::guess; }
  // The ports to send to now; none in role many.
  std::vector<std::uint16_t> take_ports(Instant now);
  // True when every socket is to send now; never in role guess.
  bool take_send(Instant now);

 private:
  static constexpr std::uint32_t kFirstPort = 1024;
  static constexpr std::uint32_t kPorts = 65536 - kFirstPort;
  std::uint16_t port(std::size_t i) const;

  Role role_;
  std::uint16_t near_;
  std::uint64_t id_;
  std::uint32_t start_, stride_;  // the order of the random guesses: start + i * stride, each port once
  std::size_t guesses_ = 0;
  Instant next_guess_ = kNever, next_send_ = kNever, ends_;
  int sends_ = 0;
};

}  // namespace eps::mesh
