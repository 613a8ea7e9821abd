#pragma once

// Finds and watches the direct path to one peer. Traffic may always go through the relay; a direct endpoint is used
// only after the peer has answered a sealed probe from it, and is given up when it stops answering.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "model/network.h"

namespace eps::mesh {

// Probe rounds after a session begins or a candidate changes, then every kProbeSlow while traffic flows.
inline constexpr std::array<Duration, 6> kProbeRounds = {
    std::chrono::milliseconds(0),    std::chrono::milliseconds(200),  std::chrono::milliseconds(600),
    std::chrono::milliseconds(1500), std::chrono::milliseconds(4000), std::chrono::milliseconds(10000)};
inline constexpr Duration kProbeSlow = std::chrono::seconds(60);
// A direct path on which we send and nothing comes back is asked after kSilence, and given up when kLostPings pings,
// one every kPingAgain, stay unanswered: 0.6 s + 3 * 0.25 s, and less than 0.3 s of the caller's timers, are under 2 s.
inline constexpr Duration kSilence = std::chrono::milliseconds(600);
inline constexpr Duration kPingAgain = std::chrono::milliseconds(250);
inline constexpr int kLostPings = 3;
inline constexpr std::size_t kMaxProbedEndpoints = 24;  // of one peer; further ones are not probed

struct Ping {
  Endpoint to;
  std::uint64_t id = 0;
};

class PathFinder {
 public:
  explicit PathFinder(Rng& rng) : rng_(&rng) {}

  // The peer's announced candidates, best first. New ones are probed in the next round, which starts at once when
  // `probe` is true.
  void set_candidates(const std::vector<Candidate>& candidates, Instant now, bool probe);
  // A session was established: start the probe rounds.
  void begin(Instant now);
  // The peer authenticated a datagram from this endpoint (a ping, or the answer to a handshake that we sent there).
  void heard_from(const Endpoint& endpoint, Instant now);
  // The endpoint has proved both directions without a ping: a handshake that we sent there was answered from there.
  // True when the path changed.
  bool adopt(const Endpoint& endpoint, Instant now);
  // True when the path changed.
  bool on_pong(const Endpoint& from, std::uint64_t id, Instant now);
  // Called every kPingAgain while traffic flows, with the times of the last datagram sent to and authenticated from
  // the peer. Asks a silent path, gives it up when it stays silent (true: the path changed).
  bool watch(Instant last_sent, Instant last_received, Instant now);
  // The peer has stopped using the direct path, so it is likely lost: asks once more, and the next watch() after
  // kPingAgain without an answer gives it up.
  void doubt(Instant now);
  // A ping of watch() waits for its answer: look again after kPingAgain.
  bool in_doubt() const { return unanswered_ > 0; }
  // Forgets path and probes (the peer's session ended or this machine's network changed). True when the path changed.
  bool reset();

  // The pings that are due; the caller sends them in the session.
  std::vector<Ping> take_due(Instant now, bool traffic_flows);
  Instant next_deadline() const { return next_round_; }

  const std::optional<Endpoint>& direct() const { return direct_; }
  // The path in use is an address of one of the peer's own interfaces: no NAT lies between.
  bool on_lan() const { return direct_ && direct_rank_ < kPublicRank; }
  std::optional<Duration> round_trip() const { return round_trip_; }

 private:
  static constexpr int kPublicRank = 2;
  struct Probe {
    Endpoint endpoint;
    int rank = 0;  // of its kind: a lower one is better
    bool announced = false;
    std::uint64_t id = 0;  // of the last ping; 0: none is open
    Instant sent_at{};
  };
  static int rank_of(const Candidate& candidate);
  Probe* find(const Endpoint& endpoint);
  Probe* add(const Endpoint& endpoint, int rank, bool announced);
  Ping ping(Probe& probe, Instant now);
  bool use(const Probe& probe);

  Rng* rng_;
  std::vector<Probe> probes_;
  std::optional<Endpoint> direct_;
  int direct_rank_ = 0;
  std::optional<Duration> round_trip_;
  std::vector<Ping> due_;  // outside the rounds
  std::size_t round_ = 0;
  Instant round_began_{};
  Instant next_round_ = kNever;
  int unanswered_ = 0;
  Instant asked_at_{};
};

}  // namespace eps::mesh
