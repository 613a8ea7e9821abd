// SPDX-License-Identifier: MIT
#pragma once

// Reassembles the fragments (wire::Fragment) into which a peer cut what its path to us does not carry whole. They may
// arrive in any order and by several paths; incomplete frames are discarded after kMaxAge, or for newer ones.

#include <bitset>
#include <cstddef>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/time.h"
#include "model/counters.h"
#include "wire/datagram.h"

namespace eps::dataplane {

// Thread-safe.
class Reassembly {
 public:
  // Per peer. Frames of one peer arrive nearly in order, so few are incomplete at a time; with the largest MTU four.
  static constexpr std::size_t kMaxBytes = 256 * 1024;
  static constexpr std::size_t kMaxFrames = 64;
  // Pieces are sent at once; those on two paths are apart by the difference of their delays.
  static constexpr Duration kMaxAge = std::chrono::seconds(1);

  // The result of adding a fragment.
  struct Taken {
    Drop drop = Drop::none;  // malformed: inconsistent with itself or an earlier piece
    std::size_t lost = 0;    // discarded frames, to be counted as Drop::incomplete
    // The whole frame, once complete, behind wire::kDataHeaderSize bytes of headroom; else empty.
    Bytes joined;
    std::uint8_t traffic_class = 0;  // of the last piece; marked if any was (RFC 3168, section 5.3)
  };
  // `content` is what follows the kind byte, `traffic_class` that of the piece.
  Taken take(ByteView content, std::uint8_t traffic_class, Instant now);
  // Frees what is too old; returns the number of discarded frames.
  std::size_t expire(Instant now);

 private:
  struct Frame {
    wire::Fragment first;  // the piece that came first
    Instant since{};
    std::size_t missing = 0;
    std::bitset<wire::kMaxFragments> have;
    bool marked = false;
    Bytes bytes;
  };
  Mutex mutex_;
  std::size_t make_room(std::size_t size, Instant now) EPS_REQUIRES(mutex_);
  std::vector<Frame> frames_ EPS_GUARDED_BY(mutex_);  // oldest first
  std::size_t bytes_ EPS_GUARDED_BY(mutex_) = 0;      // of all of them
};

}  // namespace eps::dataplane
