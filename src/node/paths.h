// SPDX-License-Identifier: MIT
#pragma once

// What this node and a peer tell each other about the paths between them: their endpoints, the NAT in front of each,
// what arrived and how large it may be; and what members report about third ones when there is no server to do so. The
// paths themselves belong to the peer's mesh::PathFinder.
//
// Messages to send are returned; the caller seals and sends them.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/rate_limit.h"
#include "base/rng.h"
#include "base/time.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "mesh/path_finder.h"
#include "mesh/path_message.h"
#include "mesh/path_mtu.h"
#include "mesh/path_quality.h"
#include "model/counters.h"
#include "model/network.h"
#include "node/relay_directory.h"
#include "node/surroundings.h"

namespace eps::node {

struct Peer;

// IP packets; WireGuard's 1420 and other sizes usual in fast networks are above.
inline constexpr std::size_t kRunsFrom = 1410;
inline constexpr Duration kCallPause = std::chrono::seconds(1);
inline constexpr Duration kSearchPause = std::chrono::seconds(15);  // between searches triggered by calls of one peer
inline constexpr Duration kAnswerPause =
    std::chrono::milliseconds(200);  // between two requests of one peer about others
inline constexpr Duration kIntroductionPause = std::chrono::seconds(1);
// Each call of a peer makes us look for paths to it, and each introduction for those to another: thirty at once,
// because a peer that moved calls by every path that it knows, then two a second. Of calls beyond that the last one
// counts, as soon as the next is due.
inline constexpr Duration kTakeCallPause = std::chrono::milliseconds(500);
inline constexpr Duration kTakeCallBurst = std::chrono::seconds(15);
// This many within a minute are reported.
inline constexpr int kManyCalls = 120;

class Paths {
 public:
  using Arrival = dataplane::Arrival;

  // The part of one peer.
  class Record {
   public:
    explicit Record(Rng& rng) : mtu_(rng) {}
    NatMapping nat() const { return nat_; }  // in front of it, as reported by it
    const mesh::PathMtu& mtu() const { return mtu_; }

   private:
    friend class Paths;
    std::vector<Candidate> told_;  // its endpoints as reported by itself or other members, besides the server's list
    NatMapping nat_ = NatMapping::unknown;
    RateLimit calls_, introductions_;  // of this peer
    ExcessWatch excess_;
    std::optional<std::pair<mesh::CallMessage, Arrival>> waiting_call_;
    Instant called_at_{};      // our last call
    Instant searched_at_{};    // when its call last triggered a search here
    Instant introduced_at_{};  // when we last acted on an introduction to it
    Instant asked_us_at_{};    // when we last answered its request about another member
    mesh::PathMtu mtu_;
    std::size_t heard_ = 0;  // the largest size ping of the peer that arrived by heard_by_: what frames may be as well
    std::optional<Way> heard_by_;
    mesh::PathTally tally_;
    std::uint64_t elsewhere_ = 0;  // path messages that did not use the path in use, or do not count towards its loss
    // The size pings among these: larger than what is known to pass, and unanswered since the path was chosen.
    std::vector<std::uint64_t> sizes_asked_;
    std::uint32_t sizes_asked_of_ = 0;  // PathFinder::uses()
  };
  struct Outgoing {
    Way way;
    mesh::PathMessage message;
  };

  Paths(const Surroundings& here, const RelayDirectory& relays, const Counters& counters)
      : here_(here), relays_(relays), counters_(counters) {}

  // Where to try the peer.
  std::vector<Candidate> usable(const Peer& peer) const;
  // A verified IPv4 endpoint of the peer: the source of its datagrams, or where our server sees it. What a member
  // claims about itself could make all others send to a stranger.
  std::optional<Endpoint> seen_endpoint_of(const Peer& peer) const;
  // The inputs to where it may be tried have changed.
  void refresh(Peer& peer, bool probe, Instant now) const;
  // The server's list has newer candidates than the reports.
  void on_listed(Peer& peer, Instant now) const;
  // The latest report of the peer itself or of a third member, used in addition to the server's.
  void learn(Peer& peer, const std::vector<Candidate>& candidates, bool probe, Instant now);

  // Pings and pongs; a ping of the path in use asks how many datagrams arrived, so these are counted.
  void on_session(Peer& peer);
  void on_sent(Peer& peer, const Way& way);
  mesh::PingMessage ping(Peer& peer, const mesh::Ping& ping, Instant now);
  mesh::PongMessage pong(const mesh::PingMessage& ping, const Arrival& arrival, std::uint32_t arrived) const;
  void on_counts(Peer& peer, const mesh::PongMessage& pong, const Arrival& arrival, Instant now);

  // Tells the peer our endpoints and that we are sending there now, so that both NATs see an outgoing datagram before
  // an incoming one. `moved`: our endpoints changed.
  mesh::CallMessage call_message(bool moved, bool guessing) const;
  std::vector<Outgoing> call(Peer& peer, bool moved, Instant now);
  // There is news: the next call may follow at once.
  void end_call_pause(Peer& peer);
  struct Called {
    bool other_nat = false;  // the NAT in front of the peer has changed
    bool doubts = false;     // a peer calls without a direct path, or when it has left a relay
  };
  Called on_call(Peer& peer, const mesh::CallMessage& call, const Arrival& arrival, Instant now);
  // Whether this call may be taken now; otherwise it waits, in place of one that waits already.
  enum class Verdict : std::uint8_t { now, waits, tell };  // tell: it waits, and the peer calls too much
  static Verdict judge(Peer& peer, const mesh::CallMessage& call, const Arrival& arrival, Instant now);
  // The one that waits, when it is due.
  static std::optional<std::pair<mesh::CallMessage, Arrival>> take_waiting_call(Peer& peer, Instant now);
  static Instant waiting_call_at(const Peer& peer);

  // `asker` is looking for `sought`: what to tell each about the other; nothing, unless both are reached directly.
  struct Introductions {
    mesh::IntroduceMessage to_sought, to_asker;
  };
  bool may_answer(Peer& asker, Instant now);
  std::optional<Introductions> introduce(const Peer& asker, const std::vector<Candidate>& asker_at,
                                         const Arrival& arrival, const Peer& sought) const;
  // False: it was introduced a moment ago.
  static bool may_introduce(Peer& by, Instant now);
  bool on_introduced(Peer& peer, const Peer& by, const std::vector<Candidate>& candidates, Instant now);

  // Datagram sizes: mesh::PathMtu probes the path in use, and its result is published with the route. A peer of version
  // 0.1 does not answer such probes: datagrams to it are as large as the frames, and IP fragments them.
  static bool sized(const Peer& peer);
  // Of its path, if there is one.
  static void set_sizes(const Peer& peer, dataplane::Peer& route, std::size_t network_mtu);
  // What the peer asks arrives here: its TCP connections may use segments of that size.
  static void on_size_ping(Peer& peer, const mesh::SizePingMessage& ping, const Arrival& arrival);
  void forget_sizes(Peer& peer);
  // REQUIRES: sized, and the route is ready.
  std::vector<Outgoing> size_pings(Peer& peer, const dataplane::Peer& route, std::size_t network_mtu, Instant now);
  void on_size_pong(Peer& peer, std::uint64_t id, Instant now);

 private:
  static std::uint64_t tally_key(const Peer& peer);
  std::uint64_t dropped_here() const;

  const Surroundings& here_;
  const RelayDirectory& relays_;
  const Counters& counters_;
};

}  // namespace eps::node
