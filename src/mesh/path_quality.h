#pragma once

// How well one way carries datagrams: its round trip and its loss over the last seconds, and the throughput that TCP
// may expect of it.
//
//   pings     each is answered, or counts as lost after kLostAfter (or four round trips). A ping crosses the way twice,
//             so a lost one is one loss in two crossings.
//   counts    how many datagrams we sent by the way, and how many the peer says arrived: exact, and for our direction.
//
// What was counted is halved every kHalfLife, so a change shows within seconds.

#include <array>
#include <cstdint>
#include <optional>

#include "base/time.h"

namespace eps::mesh {

class PathQuality {
 public:
  static constexpr Duration kHalfLife = std::chrono::seconds(4);
  static constexpr Duration kLostAfter = std::chrono::seconds(1);
  // A way is lossy from this share on, if so many datagrams show it, and until it is below the other.
  static constexpr double kLossy = 0.05, kClean = 0.02;
  static constexpr double kEnough = 20, kEnoughLost = 3;

  // `counts`: an answer that does not come is a loss. A way that is only searched for is asked in vain.
  void on_ping(std::uint64_t id, bool counts, Instant now);
  // The round trip, if the ping waits for its answer.
  std::optional<Duration> on_pong(std::uint64_t id, Instant now);
  void on_round_trip(Duration round_trip);
  // `sent` datagrams left by this way since the last call, and `lost` more than before have not arrived: a negative
  // number where some that had been overtaken came after all.
  void on_counts(std::uint64_t sent, std::int64_t lost, Instant now);
  // Pings that wait for too long become losses.
  void expire(Instant now);
  // The pings that wait do not count: the way is down, which is more than lossy.
  void cancel();
  // Nothing that was counted counts any more, as after the way was down or either end has moved.
  void forget();

  const std::optional<Duration>& round_trip() const { return round_trip_; }
  // The share that is lost one way; 0 without evidence.
  double loss() const { return seen_ > 0 && lost_ > 0 ? lost_ / seen_ : 0; }
  // At least this many crossings of late stand behind loss().
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

  std::array<Asked, 16> asked_{};
  std::size_t next_ = 0;
  std::optional<Duration> round_trip_;
  double seen_ = 0, lost_ = 0;
  Instant counted_at_{};
  bool lossy_ = false;
};

// What became of the datagrams that were sent by the path in use, from what the peer counted at two pings.
class PathTally {
 public:
  // After a path began to be used the threads that send may go on by the one before for a moment, which would pass for
  // losses of this one.
  static constexpr Duration kSettle = std::chrono::milliseconds(200);
  // What this node knows when it sends a ping: of one session by one way, which `key` names.
  struct Sent {
    std::uint64_t datagrams = 0;     // by this way
    std::uint64_t dropped_here = 0;  // before they left, of whomever
  };
  struct Came {
    std::uint32_t arrived = 0;
    std::uint32_t lost_there = 0;  // because the peer was too slow, of whomever
  };
  struct Result {
    std::uint64_t sent = 0;
    std::int64_t lost = 0;
    std::uint64_t key = 0;
  };
  void on_ping(std::uint64_t id, std::uint64_t key, const Sent& sent, Instant now);
  // What happened since the last ping of this key that was answered; nullopt when there is none, kSettle after its
  // first ping or later.
  std::optional<Result> on_pong(std::uint64_t id, const Came& came);

 private:
  struct Mark {
    std::uint64_t id = 0;  // 0: none
    std::uint64_t key = 0;
    Sent sent;
    Came came;
  };
  std::array<Mark, 8> asked_{};
  std::size_t next_ = 0;
  Mark last_;
  std::optional<std::uint64_t> key_;
  Instant since_{};  // the first ping of key_
};

}  // namespace eps::mesh
