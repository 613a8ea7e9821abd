// SPDX-License-Identifier: MIT
#pragma once

// Broadcasts for members without a session. Each such member costs a handshake, so they are served at a limited pace: a
// broadcast does not turn the network into a full mesh at once, yet every online member receives it.
// hears it.

#include <deque>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/tap.h"

namespace eps::node {

// Sessions that this member's broadcasts open: this many at once, as in a network of friends, then this many a second.
inline constexpr int kBroadcastSessions = 40;
inline constexpr Duration kBroadcastPause = std::chrono::milliseconds(50);
// Limits of the queue: the oldest frame is dropped for the newest, and nobody needs a broadcast of ten minutes ago.
inline constexpr std::size_t kMaxBroadcasts = 32;
inline constexpr Duration kBroadcastLife = std::chrono::minutes(10);

class Broadcasts {
 public:
  struct Frame {
    Bytes bytes;
    ports::FrameMeta meta;
  };
  struct Turn {
    MemberId to;
    std::vector<Frame> frames;  // oldest first
  };

  // `missing`: the members that still need it. Replaces an equal frame (ignoring its IPv4 number), as a game repeats
  // it. Returns how many frames were dropped.
  std::size_t add(Frame frame, std::vector<MemberId> missing, Instant now);
  // The next member, with everything that waits for it; nullopt when none is due.
  std::optional<Turn> next(Rng& rng, Instant now);
  // Everything that waits for a member that now has a session.
  std::vector<Frame> take(MemberId member);
  Instant next_deadline() const;

 private:
  struct Kept {
    Frame frame;
    std::size_t identity = 0;
    std::vector<MemberId> missing;
    Instant since{};
  };
  std::deque<Kept> kept_;  // oldest first; each is still missing somewhere
  Instant due_{};          // of the next session after the burst
};

}  // namespace eps::node
