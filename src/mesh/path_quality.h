// SPDX-License-Identifier: MIT
#pragma once

// The quality of one way: its round trip, its loss over the last seconds, and the throughput that TCP can expect.
//
//   pings     each is answered, or counts as lost after kLostAfter (or four round trips). A ping crosses the way twice,
//             so a lost one is one loss in two crossings.
//   counts    the datagrams that we sent by the way and those that the peer reports as arrived: exact, for our
//   direction.
//
// Old counts decay by half every kHalfLife, so a change shows within seconds.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"

namespace eps::mesh {

class PathQuality {
 public:
  static constexpr Duration kHalfLife = std::chrono::seconds(4);
  static constexpr Duration kLostAfter = std::chrono::seconds(1);
  // A way becomes lossy at the first share, given enough datagrams, and stays so until it is below the second.
  static constexpr double kLossy = 0.05, kClean = 0.02;
  static constexpr double kEnough = 20, kEnoughLost = 3;

  // `counts`: a missing answer is a loss. It is none while a way is only being searched for.
  void on_ping(std::uint64_t id, bool counts, Instant now);
  // The round trip, if the ping waits for its answer.
  std::optional<Duration> on_pong(std::uint64_t id, Instant now);
  void on_round_trip(Duration round_trip);
  // Since the last call `sent` datagrams left by this way, and `lost` more than before are missing; negative if
  // overtaken ones arrived after all.
  void on_counts(std::uint64_t sent, std::int64_t lost, Instant now);
  // Turns overdue pings into losses.
  void expire(Instant now);
  // Pings in flight do not count: the way is down, which is worse than lossy.
  void cancel();
  // Discards all evidence, because the way was down or either end has moved.
  void forget();

  const std::optional<Duration>& round_trip() const { return round_trip_; }
  // The share that is lost one way; 0 without evidence.
  double loss() const { return seen_ > 0 && lost_ > 0 ? lost_ / seen_ : 0; }
  // loss() is based on at least this many recent crossings.
  double seen() const { return seen_; }
  bool lossy() const { return lossy_; }
  // The time that TCP takes for a segment, in ms: the denominator of RFC 5348, section 3.1 (Padhye et al., "Modeling
  // TCP Throughput", 1998), with b = 1 and Linux' shortest retransmission timeout. Few datagrams without a loss do not
  // prove that there is none: `loss` is taken as if half a datagram more of ten more had been lost.
  double cost() const;

 private:
  struct Asked {
    std::uint64_t id = 0;  // 0: none
    Instant at{};
    bool counts = false;
  };
  void count(double seen, double lost, Instant now);

  static constexpr std::size_t kAsked = 16;
  std::vector<Asked> asked_;  // the last kAsked; empty until the first
  std::size_t next_ = 0;
  std::optional<Duration> round_trip_;
  double seen_ = 0, lost_ = 0;
  Instant counted_at_{};
  bool lossy_ = false;
};

// The fate of the datagrams that were sent by the path in use, from the peer's counts at two pings.
class PathTally {
 public:
  // For a moment after a move, sending threads may still use the previous path, which would look like losses of this
  // one.
  static constexpr Duration kSettle = std::chrono::milliseconds(200);
  // The counts of this node when it sends a ping, for one session and way, which `key` identifies.
  struct Sent {
    std::uint64_t datagrams = 0;     // by this way
    std::uint64_t dropped_here = 0;  // before they left, for any peer
  };
  struct Came {
    std::uint32_t arrived = 0;
    std::uint32_t lost_there = 0;  // because the peer was too slow, of any sender
  };
  struct Result {
    std::uint64_t sent = 0;
    std::int64_t lost = 0;
    std::uint64_t key = 0;
  };
  void on_ping(std::uint64_t id, std::uint64_t key, const Sent& sent, Instant now);
  // The change since the last answered ping of this key; nullopt if there is none that was sent kSettle or more after
  // its first ping.
  std::optional<Result> on_pong(std::uint64_t id, const Came& came);

 private:
  struct Mark {
    std::uint64_t id = 0;  // 0: none
    std::uint64_t key = 0;
    Sent sent;
    Came came;
  };
  static constexpr std::size_t kAsked = 8;
  std::vector<Mark> asked_;  // the last kAsked; empty until the first
  std::size_t next_ = 0;
  Mark last_;
  std::optional<std::uint64_t> key_;
  Instant since_{};  // the first ping of key_
};

}  // namespace eps::mesh
