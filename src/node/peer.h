#pragma once

// Everything the control thread holds about one other member.

#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "dataplane/peer_table.h"
#include "mesh/path_finder.h"
#include "mesh/path_mtu.h"
#include "model/network.h"
#include "node/guessing.h"
#include "node/peer_handshake.h"
#include "node/relay_directory.h"
#include "node/waiting_frames.h"
#include "noise/cookie.h"
#include "session/session.h"

namespace eps::node {

// An initiation is repeated after these pauses, the last one again and again while frames wait.
inline constexpr std::array<Duration, 5> kHandshakeRetry = {std::chrono::milliseconds(300),
                                                            std::chrono::milliseconds(700), std::chrono::seconds(1),
                                                            std::chrono::seconds(2), std::chrono::seconds(5)};
inline constexpr int kFreshInitiation = 4;     // every so many attempts another one is made, the others repeat it
inline constexpr int kHandshakeAttempts = 12;  // then the waiting frames are dropped
// IP packets; WireGuard's 1420 and what else is usual for fast networks is above.
inline constexpr std::size_t kRunsFrom = 1410;
inline constexpr Duration kTick = std::chrono::milliseconds(200);        // while traffic flows
inline constexpr Duration kActiveFor = std::chrono::seconds(3);          // after the last datagram sent
inline constexpr Duration kDeadAfter = std::chrono::milliseconds(2500);  // sending, nothing back by any path: the
                                                                         // peer has lost the session
inline constexpr Duration kCallPause = std::chrono::seconds(1);
inline constexpr Duration kSearchPause = std::chrono::seconds(15);  // between searches that calls of one peer begin
inline constexpr Duration kObserversAfter = std::chrono::milliseconds(500);  // of searching: who sees us from outside?
inline constexpr Duration kNewFlowAfter = std::chrono::seconds(2);  // of searching in vain: another socket of ours
inline constexpr Duration kNewFlowPause = std::chrono::seconds(30);
inline constexpr Duration kRelayAfter = std::chrono::seconds(3);     // of searching in vain: members are asked to relay
inline constexpr std::size_t kMaxIntroducers = 3;                    // that are asked for one peer
inline constexpr Duration kNatKeepalive = std::chrono::seconds(20);  // RFC 4787, REQ-5: mappings may last 2 min
                                                                     // by the book and 30 s in the field

// A member that the server's list calls offline may still be there: it is asked by the path in use, at once and after
// each pause, and counts as gone after so long a silence.
inline constexpr Duration kAskOffline = std::chrono::seconds(2);
inline constexpr Duration kOfflineSilence = std::chrono::seconds(5);

struct PendingHandshake {
  PeerInitiator initiator;
  std::uint32_t local_index = 0;
  std::uint64_t number = 0;
  Bytes initiation;  // without MACs
  Bytes sent;        // with them, as it left last
  bool used_up = false;
  int attempt = 0;
  Instant retry_at{};
};

struct Peer {
  explicit Peer(const Member& m, Rng& rng)
      : member(m), path(rng), mtu(rng), cookies(m.key), activity(std::make_shared<dataplane::PeerActivity>()) {
    activity->next_fragment = rng.u32();
  }

  Member member;
  mesh::PathFinder path;
  mesh::PathMtu mtu;
  mesh::PathTally tally;
  std::uint64_t control_elsewhere = 0;  // path messages that did not leave by the path in use
  noise::CookieJar cookies;
  std::shared_ptr<dataplane::PeerActivity> activity;

  std::shared_ptr<session::Session> current;               // sealed with
  std::shared_ptr<session::Session> unconfirmed;           // we are its responder and the initiator has not used it yet
  Bytes response;                                          // that `unconfirmed` was answered with, without MACs
  std::vector<std::shared_ptr<session::Session>> retired;  // open what is in flight until their own end; both members
                                                           // may have begun at once and each seal in another session
  std::optional<PendingHandshake> handshake;
  bool given_up = false;                  // the last handshake was never answered
  std::uint64_t last_number = 0;          // of the peer's initiations
  dataplane::RateLimit answered;          // its initiations
  std::uint64_t least_number = 0;         // ours to this peer have to be greater
  std::optional<crypto::Key> number_key;  // noise/number_reply.h
  Instant number_told_at{};               // when a number reply last made us begin anew

  WaitingFrames::Queue waiting;

  bool touched = false;       // in the step that runs: its deadline may have changed
  Instant timer_at = kNever;  // its entry among the timers
  Instant offline_at{};       // when the server's list last began to say so
  Instant tick_at = kNever;
  Instant last_unknown_session{};  // when we last answered one with an initiation
  Instant session_began{};         // when `current` became current

  std::vector<Candidate> told;  // endpoints of it that itself or another member told us, besides the server's list
  NatMapping nat = NatMapping::unknown;  // in front of it, as it says
  Instant called_at{};                   // our last call
  Instant searched_at{};                 // when its call last made us search
  Instant introduced_at{};               // when we last acted on an introduction to it
  Instant asked_us_at{};                 // when we last answered its question for another member

  Guessing::Record guessing;

  RelayDirectory::Record relay;
  bool kept = false;         // its session is kept without traffic: an anchor
  Instant unreachable_at{};  // when an initiation to it was last given up
  Instant needed_at{};       // when a frame last had to wait for it, or it last served us as a relay
};

}  // namespace eps::node
