// SPDX-License-Identifier: MIT
#pragma once

// What was broadcast, for members without a session. Each of them costs a handshake, so they get their turn at a
// bounded pace: a network that somebody calls into does not become a full mesh at once, and everybody who is online
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

// Sessions that broadcasts of this member open: so many at once, as in a network of friends, and then so many a second.
inline constexpr int kBroadcastSessions = 40;
inline constexpr Duration kBroadcastPause = std::chrono::milliseconds(50);
// What waits: the oldest gives way to the newest, and a search of ten minutes ago interests nobody.
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

  // `missing`: who is to get it. Takes the place of an equal frame, as a game repeats it, but for its IPv4 number.
  // Returns how many frames gave way.
  std::size_t add(Frame frame, std::vector<MemberId> missing, Instant now);
  // Who is next, with all that waits for it; nullopt when nobody is due.
  std::optional<Turn> next(Rng& rng, Instant now);
  // All that waits for a member that has a session now.
  std::vector<Frame> take(MemberId member);
  Instant next_deadline() const;

 private:
  struct Kept {
    Frame frame;
    std::size_t identity = 0;
    std::vector<MemberId> missing;
    Instant since{};
  };
  std::deque<Kept> kept_;  // oldest first; each misses somebody
  Instant due_{};          // of the session after those of the burst
};

}  // namespace eps::node
