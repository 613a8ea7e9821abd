// SPDX-License-Identifier: MIT
#pragma once

// Joins the fragments (wire::Fragment) that one peer cut from what its path to us does not take whole. They may come in
// any order and by several paths; what stays incomplete is given up after kMaxAge, or when newer ones need its room.

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
  // Of one peer. Frames of one peer arrive nearly in order, so few are incomplete at a time; with the largest MTU four.
  static constexpr std::size_t kMaxBytes = 256 * 1024;
  static constexpr std::size_t kMaxFrames = 64;
  // Pieces are sent at once; by two paths they are apart by the difference of their delays.
  static constexpr Duration kMaxAge = std::chrono::seconds(1);

  // What a fragment led to.
  struct Taken {
    Drop drop = Drop::none;  // malformed: it contradicts itself or an earlier piece
    std::size_t lost = 0;    // frames given up, which are to be counted as Drop::incomplete
    // The whole, once it is there, behind wire::kDataHeaderSize bytes of room; else empty.
    Bytes joined;
    std::uint8_t traffic_class = 0;  // of the last piece; marked if any was (RFC 3168, section 5.3)
  };
  // `content` is what follows the kind byte, `traffic_class` what the piece came with.
  Taken take(ByteView content, std::uint8_t traffic_class, Instant now);
  // Frees what is too old; returns how many frames that were.
  std::size_t expire(Instant now);

 private:
  struct Frame {
    wire::Fragment first;  // the piece of it that came first
    Instant since{};
    std::size_t missing = 0;
    std::bitset<wire::kMaxFragments> have;
    bool marked = false;
    Bytes bytes;
  };
  Mutex mutex_;
  std::size_t make_room(std::size_t size, Instant now) EPS_REQUIRES(mutex_);
  std::vector<Frame> frames_ EPS_GUARDED_BY(mutex_);  // oldest first
  std::size_t bytes_ EPS_GUARDED_BY(mutex_) = 0;      // of all
};

}  // namespace eps::dataplane
