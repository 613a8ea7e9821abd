// SPDX-License-Identifier: MIT
#pragma once

// Everything that the control thread stores about one other member.

#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "dataplane/peer_table.h"
#include "mesh/path_finder.h"
#include "model/network.h"
#include "node/guessing.h"
#include "node/paths.h"
#include "node/relay_directory.h"
#include "node/sessions.h"
#include "node/waiting_frames.h"

namespace eps::node {

inline constexpr Duration kTick = std::chrono::milliseconds(200);            // while traffic flows
inline constexpr Duration kActiveFor = std::chrono::seconds(3);              // after the last datagram sent
inline constexpr Duration kDeadAfter = std::chrono::milliseconds(2500);      // sending, nothing back on any path: the
                                                                             // peer has lost the session
inline constexpr Duration kObserversAfter = std::chrono::milliseconds(500);  // of searching: who sees us from outside?
inline constexpr Duration kNewFlowAfter = std::chrono::seconds(2);  // of failed searching: another local socket
inline constexpr Duration kNewFlowPause = std::chrono::seconds(30);
inline constexpr Duration kRelayAfter = std::chrono::seconds(3);     // of failed searching: members are asked to relay
inline constexpr std::size_t kMaxIntroducers = 3;                    // asked for one peer
inline constexpr Duration kNatKeepalive = std::chrono::seconds(20);  // RFC 4787, REQ-5: mappings may last 2 min
                                                                     // by the book and 30 s in the field

// A member that is offline in the server's list may still be there: it is pinged on the path in use, at once and after
// each pause, and is considered gone after this long a silence.
inline constexpr Duration kAskOffline = std::chrono::seconds(2);
inline constexpr Duration kOfflineSilence = std::chrono::seconds(5);

struct Peer {
  explicit Peer(const Member& m, Rng& rng)
      : member(m), path(rng), paths(rng), activity(std::make_shared<dataplane::PeerActivity>()), sessions(m.key) {
    activity->next_fragment = rng.u32();
  }

  Member member;
  mesh::PathFinder path;
  Paths::Record paths;
  std::shared_ptr<dataplane::PeerActivity> activity;

  Sessions::Record sessions;
  WaitingFrames::Queue waiting;

  bool touched = false;       // in the current step: its deadline may have changed
  Instant timer_at = kNever;  // its entry among the timers
  // What the latest table says of it: the place among the peers, and the sessions that may open something.
  std::optional<std::uint32_t> row;
  std::vector<Sessions::SessionPtr> receiving;
  Instant offline_at{};  // when the server's list last changed to that
  Instant tick_at = kNever;
  Instant last_unknown_session{};  // when we last answered one with an initiation

  Guessing::Record guessing;

  RelayDirectory::Record relay;
  bool kept = false;         // its session is kept without traffic: an anchor
  Instant unreachable_at{};  // when an initiation to it was last given up
  Instant needed_at{};       // when a frame last had to wait for it, or it last relayed for us
};

}  // namespace eps::node
