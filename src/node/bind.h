// SPDX-License-Identifier: MIT
#pragma once

// Proves this node's data socket to the server and learns how the server sees it (wire/datagram.h, bind request). Asked
// again often enough to keep a NAT's mapping to the server open: it is the way of everything that is relayed.
//
// The server takes no endpoint that has not answered it, or a datagram with a forged source would aim at a stranger
// what it relays: where it wants that, a reply holds a number that the next request echoes, at once.
//
// When the server does not answer, the ways to it are tried in turn: the other address family, where it answers there
// (a firewall may drop UDP in one of them only), and another socket of ours (there are firewalls that end a flow of UDP
// after a minute for good, and let a new one pass).
//
// What the server sees on two of its ports, and whether an answer from a port that was not asked comes through, tells
// how the NAT in between behaves (RFC 5780, with two ports of one address).

#include <optional>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "crypto/secret.h"
#include "dataplane/commit.h"
#include "model/nat.h"
#include "model/status.h"

namespace eps::node {

inline constexpr Duration kBindKeepalive = std::chrono::seconds(20);
// Without an answer: after these pauses, the last one again and again.
inline constexpr std::array<Duration, 5> kBindRetry = {std::chrono::milliseconds(150), std::chrono::milliseconds(300),
                                                       std::chrono::milliseconds(600), std::chrono::milliseconds(1200),
                                                       std::chrono::seconds(3)};
// This many requests without an answer: the relay is held to be unreachable.
inline constexpr int kBindLost = 4;
// So many without an answer, by another socket as well: UDP to the server does not pass.
inline constexpr int kBindGivenUp = kBindLost + 2;
inline constexpr Duration kBindOtherSocketAfter = std::chrono::milliseconds(300);
inline constexpr int kBindRenewals = 4;  // requests by the new socket of renew(), with the pause above
inline constexpr Duration kBindVerifyPause = std::chrono::seconds(3);
// The second port is asked so long after its unasked answer was due, and until it answers, after pauses that double: a
// lossy way must not leave the NAT unknown, as peers then cannot be met.
inline constexpr Duration kNatTestAfter = std::chrono::milliseconds(200);
inline constexpr Duration kNatTestPause = std::chrono::milliseconds(300);
inline constexpr Duration kMaxNatTestPause = std::chrono::minutes(5);

class Bind {
 public:
  explicit Bind(dataplane::Outbox& out) : out_(out) {}
  // A new control connection gave new credentials. `other`: the server's endpoint in the other address family, where
  // it has one: how it sees us there is a candidate as well.
  void begin(MemberId self, crypto::Key key, const Endpoint& server, std::optional<Endpoint> other, Instant now);
  // The endpoints that this node would be seen by if there were no NAT.
  void set_local(std::vector<Endpoint> local) { local_ = std::move(local); }
  // Ask at once: this machine's network changed, so what was known is no longer so.
  void refresh(Instant now);
  // Ask at once, unless an answer is awaited or has just come: nothing seems to pass.
  void verify(Instant now);
  // Moves to another socket beside the one in use, which goes on until the server has answered there: a flow to a peer
  // is dead although the one to the server works.
  void renew(Instant now);
  // Takes a bind reply; false if it does not authenticate. One that a newer one has overtaken changes nothing.
  bool on_reply(const Endpoint& from, ports::SocketId socket, ByteView datagram, Instant now);
  void on_deadline(Instant now);
  Instant next_deadline() const { return std::min({main_.next, other_.next, second_.next}); }
  bool bound() const { return bound_ && !lost(); }
  bool lost() const { return main_.unanswered >= kBindLost; }
  bool given_up() const { return main_.unanswered >= kBindGivenUp; }
  const std::optional<Endpoint>& observed() const { return main_.observed; }
  // In both families.
  std::vector<Endpoint> all_observed() const;
  const Endpoint& server() const { return main_.to; }
  // The one of our sockets that the server knows us by.
  ports::SocketId socket() const { return main_.socket; }
  // Sockets that the server knew this node by before. Paths to peers may use them, so the caller closes them.
  std::vector<ports::SocketId> take_left() { return std::exchange(left_, {}); }
  NatStatus nat() const;

 private:
  // One of the server's endpoints that is asked.
  struct Target {
    Endpoint to;  // !valid(): none
    ports::SocketId socket = 0;
    std::optional<Endpoint> observed;
    std::uint64_t number = 0;        // of the last request
    std::uint64_t answered = 0;      // of the last reply taken
    std::uint64_t echo = 0;          // what the server wants to hear from our side of it
    std::uint64_t echoed_since = 0;  // the first request that said so
    int unanswered = 0;
    Instant next = kNever;
  };
  void ask(Target& target, bool observe_only);
  // The one by which the NAT is found out: NATs stand before IPv4.
  const Target& nat_target() const { return main_.to.ip.is_v4() || !other_.to.valid() ? main_ : other_; }
  void ask_main(Instant now);
  void ask_other(Instant now);
  void ask_second(Instant now);
  bool take_other_family(Instant now);
  void use_socket(ports::SocketId socket, Instant now);
  void leave_sockets();

  dataplane::Outbox& out_;
  MemberId self_;
  crypto::Key key_;
  std::vector<Endpoint> local_;
  Target main_, other_, second_;
  bool bound_ = false;
  std::uint64_t bind_since_ = 0;  // requests to main_ below this number only observed
  std::vector<ports::SocketId> left_;
  std::optional<ports::SocketId> spare_;  // another socket of ours that is tried
  bool by_spare_ = false;                 // the last request to main_ left by it
  int renewals_ = 0;                      // requests of renew() that are still to be sent
  Instant answered_at_{};
  std::uint64_t number_ = 0;        // of the last request to any of them
  std::uint64_t second_since_ = 0;  // requests to the second port have this number or a greater one; 0: none was sent
  bool let_in_ = false;             // the second port's unasked answer came
};

}  // namespace eps::node
