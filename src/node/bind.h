// SPDX-License-Identifier: MIT
#pragma once

// Proves this node's data socket to the server and learns how the server sees it (wire/datagram.h, bind request). The
// request is repeated often enough to keep a NAT's mapping to the server open, because relayed traffic arrives there.
//
// The server accepts no endpoint that has not answered it; otherwise a datagram with a forged source could direct
// relayed traffic at a stranger. Where it wants proof, a reply holds a number that the next request echoes at once.
//
// When the server does not answer, other paths to it are tried in turn: the other address family, if it answers there
// (a firewall may drop UDP in one of them only), and another socket of ours (some firewalls end a UDP flow for good
// after a minute, but let a new one pass).
//
// What the server sees on two of its ports, and whether an answer arrives from a port that was not asked, shows how the
// NAT in between behaves (RFC 5780, with two ports of one address).

#include <array>
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
// Pauses without an answer, the last one repeated.
inline constexpr std::array<Duration, 5> kBindRetry = {std::chrono::milliseconds(150), std::chrono::milliseconds(300),
                                                       std::chrono::milliseconds(600), std::chrono::milliseconds(1200),
                                                       std::chrono::seconds(3)};
// After this many requests without an answer the relay is considered unreachable.
inline constexpr int kBindLost = 4;
// Once bound, twice as many within the same time, so that loss is not taken for an outage; half a round trip apart at
// least, so that a slow path is not either.
inline constexpr int kBoundLost = 2 * kBindLost;
inline constexpr Duration kBoundRetry = std::chrono::milliseconds(150);
// After this many more, including another socket, UDP to the server is considered blocked.
inline constexpr int kBindGivenUpAfter = 2;
inline constexpr Duration kBindOtherSocketAfter = std::chrono::milliseconds(300);
inline constexpr int kBindRenewals = 4;  // requests from the new socket of renew(), with the pause above
// With the kBoundLost requests less than 2 s.
inline constexpr Duration kBindVerifyPause = std::chrono::milliseconds(800);
// The second port is asked this long after its unasked answer was due, and then after doubling pauses until it answers:
// a lossy path must not leave the NAT unknown, because peers could not connect then.
inline constexpr Duration kNatTestAfter = std::chrono::milliseconds(200);
inline constexpr Duration kNatTestPause = std::chrono::milliseconds(300);
inline constexpr Duration kMaxNatTestPause = std::chrono::minutes(5);

class Bind {
 public:
  explicit Bind(dataplane::Outbox& out) : out_(out) {}
  // A new control connection brought new credentials. `other`: the server's endpoint in the other address family, if it
  // has one: our endpoint as seen there is a candidate as well.
  void begin(MemberId self, crypto::Key key, const Endpoint& server, std::optional<Endpoint> other, Instant now);
  // The endpoints at which this node would be seen if there were no NAT.
  void set_local(std::vector<Endpoint> local) { local_ = std::move(local); }
  // Asks at once: this machine's network changed, so earlier results are invalid.
  void refresh(Instant now);
  // Asks at once, unless an answer is awaited or has just arrived. Only an answer shows that what this node sends
  // arrives there: a peer that is heard through the relay may hear nothing. So this is called while traffic is relayed.
  void verify(Instant now);
  // Moves to another socket. The present one stays in use until the server has answered at the new one: a flow to a
  // peer is dead although the one to the server works.
  void renew(Instant now);
  // Processes a bind reply; false if it does not authenticate. One overtaken by a newer one changes nothing.
  bool on_reply(const Endpoint& from, ports::SocketId socket, ByteView datagram, Instant now);
  void on_deadline(Instant now);
  Instant next_deadline() const { return std::min({main_.next, other_.next, second_.next}); }
  bool bound() const { return bound_ && !lost(); }
  bool lost() const { return main_.unanswered >= lost_after(); }
  bool given_up() const { return main_.unanswered >= lost_after() + kBindGivenUpAfter; }
  const std::optional<Endpoint>& observed() const { return main_.observed; }
  // In both families.
  std::vector<Endpoint> all_observed() const;
  const Endpoint& server() const { return main_.to; }
  // The local socket that the server knows us by.
  ports::SocketId socket() const { return main_.socket; }
  // Sockets that the server knew this node by before. Paths to peers may still use them, so the caller closes them.
  std::vector<ports::SocketId> take_left() { return std::exchange(left_, {}); }
  NatStatus nat() const;

 private:
  // One of the server's endpoints.
  struct Target {
    Endpoint to;  // !valid(): none
    ports::SocketId socket = 0;
    std::optional<Endpoint> observed;
    std::uint64_t number = 0;        // of the last request
    std::uint64_t answered = 0;      // of the last accepted reply
    std::uint64_t echo = 0;          // the number that the server wants this side to echo
    std::uint64_t echoed_since = 0;  // the first request with that echo
    int unanswered = 0;
    Instant next = kNever;
  };
  int lost_after() const { return bound_ ? kBoundLost : kBindLost; }
  Duration retry_pause() const;
  void ask(Target& target, bool observe_only, Instant now);
  // The one used to classify the NAT: NATs are common in front of IPv4.
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
  std::optional<ports::SocketId> spare_;  // another local socket being tried
  bool by_spare_ = false;                 // the last request to main_ left from it
  int renewals_ = 0;                      // remaining requests of renew()
  Instant answered_at_{};
  Duration round_trip_{};               // of the last answer
  std::uint64_t number_ = 0;            // of the last request to any of them
  std::array<Instant, 16> asked_at_{};  // of the request whose number has this remainder
  std::uint64_t second_since_ = 0;      // requests to the second port have at least this number; 0: none was sent
  bool let_in_ = false;                 // the second port's unasked answer arrived
};

}  // namespace eps::node
