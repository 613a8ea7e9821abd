// SPDX-License-Identifier: MIT
#pragma once

// Finds, chooses and watches the ways to one peer. Traffic may always go through a relay; a direct way is used only
// after the peer has answered a sealed probe by it, and is left when it stops answering.
//
//   choice    among the ways that answer: LAN, then IPv6, then other addresses, then relays; a round trip that is
//             shorter by kMargin overrules that order (by kRelayMargin where a relay would replace a direct way). Where
//             a way loses datagrams (mesh/path_quality.h), TCP's expected throughput decides
//   move      only to a better way, or because the one in use is lost; both ends accept datagrams by any way, so a
//             move loses nothing. A way that was left for a worse-ranked one rests, longer each time, so that the
//             choice does not oscillate
//   evidence  attempts by each way and their results are kept for `eps why`

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "mesh/path_quality.h"
#include "model/network.h"
#include "model/status.h"
#include "model/way.h"

namespace eps::mesh {

// Probe rounds after a session begins or something changed, then every kProbeSlow while traffic flows.
inline constexpr std::array<Duration, 7> kProbeRounds = {
    std::chrono::milliseconds(0),    std::chrono::milliseconds(200),  std::chrono::milliseconds(600),
    std::chrono::milliseconds(1500), std::chrono::milliseconds(4000), std::chrono::milliseconds(10000),
    std::chrono::milliseconds(30000)};
inline constexpr Duration kProbeSlow = std::chrono::seconds(60);
// A way on which we send and nothing comes back is pinged after kSilence, and given up when kLostPings pings, one every
// kPingAgain, stay unanswered: 0.6 s + 3 * 0.25 s, and less than 0.3 s of the caller's timers, are under 2 s.
inline constexpr Duration kSilence = std::chrono::milliseconds(600);
inline constexpr Duration kPingAgain = std::chrono::milliseconds(250);
inline constexpr int kLostPings = 3;
// Of so many calls of watch() each has seen something new come, without a pause of kSilence: a stream.
inline constexpr int kStream = 3;
// While traffic flows, pings measure the way in use, the best direct way and the best other relay. While the way in use
// loses datagrams the others are compared with it, and a way that was left because of its losses is pinged often enough
// to notice its recovery.
inline constexpr Duration kSampleInUse = std::chrono::seconds(1);
inline constexpr Duration kSampleOther = std::chrono::seconds(5);
inline constexpr Duration kSampleResting = std::chrono::milliseconds(250);
inline constexpr Duration kSampleTrial = std::chrono::milliseconds(200);
inline constexpr double kTrialSeen =
    60;  // crossings that suffice for a comparison; then it is pinged like a resting way
// If losses decide, another way must shorten TCP's expected time for a segment by this factor.
inline constexpr double kGain = 2;
// A way that was left for a worse-ranked one is not used again for this long; twice as long each time that this happens
// again within kRestMemory.
inline constexpr Duration kRest = std::chrono::seconds(15);
inline constexpr Duration kMaxRest = std::chrono::minutes(5);
inline constexpr Duration kRestMemory = std::chrono::minutes(10);
inline constexpr std::size_t kMaxWays = 28;    // to one peer, relays included; further ones are not probed
inline constexpr std::size_t kMaxEvents = 48;  // kept for `eps why`
// How much shorter the round trip of another way must be.
inline constexpr Duration kMargin = std::chrono::milliseconds(10);
inline constexpr Duration kRelayMargin = std::chrono::milliseconds(50);
// The peer sends by another way than we do: the way in use has this long to answer, then we move to the peer's.
inline constexpr Duration kChallenge = std::chrono::milliseconds(250);
inline constexpr Duration kChallengeAgain = std::chrono::seconds(5);

struct Ping {
  Way way;
  std::uint64_t id = 0;
};

class PathFinder {
 public:
  explicit PathFinder(Rng& rng) : rng_(&rng) {}

  // Where the peer may be reached, and this node's own addresses, which show what is near. New ones are probed in the
  // next round, which starts at once when `probe` is true. `socket`: the one of ours that the server sees. What the
  // peer sends arrives there, so the NATs must have seen it send.
  void set_candidates(const std::vector<Candidate>& candidates, const std::vector<IpAddress>& own, Instant now,
                      bool probe, std::uint16_t socket = 0);
  // The relays that both ends may use. The server is trusted to work until it stays silent.
  void set_relays(const std::vector<MemberId>& relays, Instant now);
  // A session was established, or something changed: start the probe rounds.
  void begin(Instant now);
  // The peer authenticated a datagram that came by this way.
  void heard_from(const Way& way, Instant now);
  // The way works in both directions, proved without a ping: a handshake or a guess that we sent there was answered
  // from there. True when the path changed.
  bool adopt(const Way& way, std::optional<Duration> round_trip, Instant now);
  // True when the path changed.
  bool on_pong(const Way& from, std::uint64_t id, Instant now);
  // Of `sent` datagrams that left by this way `lost` did not arrive (PathQuality::on_counts).
  void on_counts(const Way& way, std::uint64_t sent, std::int64_t lost, Instant now);
  // Called every kPingAgain while traffic flows, with the times of the last datagram sent to the peer and authenticated
  // from it by the path in use. Pings a silent path, and gives it up if it stays silent (true: the path changed).
  bool watch(Instant last_sent, Instant last_received, Instant now);
  // The peer has stopped using the path, so it is probably lost: pings it twice at once, and a watch() without
  // an answer after kPingAgain or a round trip gives it up, whatever arrives by it. Does nothing if the path has just
  // answered.
  void doubt(Instant now);
  // A ping by the path in use, as a sign of life.
  void ask(Instant now);
  // A ping of watch() waits for its answer: look again after kPingAgain.
  bool in_doubt() const { return unanswered_ > 0; }
  // One of the two ends has moved: every direct way has to answer again.
  void moved(Instant now);
  // Forgets path and probes (the peer's sessions ended).
  void reset(Instant now);

  // The way in use goes by this socket, or the peer was heard by it a moment ago: it may be the peer's way to us.
  bool needs_socket(std::uint16_t socket, Instant now) const;
  // This socket is closed: nothing can be sent by it any more. It must not be the one in use.
  void forget_socket(std::uint16_t socket);

  // Decides a pending challenge, then returns the pings that are due; the caller sends them in the session. Traffic
  // was last sent at `last_used`: a path in use that has answered since is not asked again, and the others are not
  // measured for a peer that only sends to us.
  std::vector<Ping> take_due(Instant now, bool traffic_flows, Instant last_used = kNever);
  Instant next_deadline() const { return std::min(next_round_, challenge_ends_); }

  // The way to send by; nullopt if none is known.
  const std::optional<Way>& path() const { return path_; }
  // It was given up, and is kept because no other is known.
  bool given_up() const { return path_ && find(*path_)->refuted; }
  // Grows with each change of the path.
  std::uint32_t uses() const { return uses_; }
  bool direct() const { return path_ && path_->direct(); }
  // The last direct path used this socket of ours and has died, while a relay is in use and answers: a middlebox may
  // have blocked that flow for good and may let another one pass.
  bool flow_died(std::uint16_t socket) const;
  // A direct way answers, whether or not it is the one in use.
  bool direct_answers() const;
  // By which direct ways the peer answers. It may send by any of them: from several addresses, its own or ours, it sees
  // as many ways, and a NAT may give it another endpoint in each.
  std::vector<Endpoint> answering() const;
  // The endpoint outside of this LAN that the peer was last heard from, if any.
  std::optional<Endpoint> heard_at() const;
  bool has(const Endpoint& endpoint) const { return direct() && path_->to == endpoint; }
  // The direct path in use has no NAT in it: both ends are on one LAN.
  bool on_lan() const;
  std::optional<Duration> round_trip() const;
  // When the path in use was last pinged. REQUIRES: path().
  Instant pinged_at() const { return find(*path_)->pinged_at; }
  // Time since the probe rounds began without an answer by a direct way; nullopt if there is an answer or no round.
  std::optional<Duration> searching_for(Instant now) const;
  // The same since the first round after the last answer of a direct way, however often the rounds began anew.
  std::optional<Duration> in_vain_for(Instant now) const;

  std::vector<WayStatus> ways(Instant now) const;
  std::vector<PathEvent> events(Instant now) const;
  void note(std::string what, Instant now);

 private:
  struct Known {
    Way way;
    WayStatus::Origin origin = WayStatus::Origin::heard;
    int rank = 0;  // a lower one is better
    bool announced = false;
    bool alive = false;    // it has answered and was not given up since
    bool refuted = false;  // the server's relay: it was given up, and has not answered since
    PathQuality quality;
    Duration rest{};  // the last one
    Instant left_at{}, rest_until{};
    Instant pinged_at{};
    Instant answered_at{};
    Instant heard_at{};
    std::uint32_t pings = 0, pongs = 0, heard = 0;
  };
  Known* find(const Way& way);
  const Known* find(const Way& way) const;
  Known* add(const Way& way, WayStatus::Origin origin, int rank, bool announced);
  Ping ping(Known& known, Instant now);
  bool usable(const Known& known) const;
  static bool better(const Known& a, const Known& b);
  void probe_round(std::vector<Ping>& out, Instant now, bool traffic_flows);
  void sample(std::vector<Ping>& out, Instant last_used, Instant now);
  void proved(Known& known, std::optional<Duration> round_trip, Instant now);
  bool choose(Instant now);
  bool use(const Known& known, const std::string& why, Instant now);
  void lose(Known& known, Instant now);

  Rng* rng_;
  std::vector<Known> known_;
  std::optional<Way> path_;
  std::vector<Ping> due_;  // outside the rounds
  std::size_t round_ = 0;
  Instant round_began_ = kNever;
  Instant search_began_ = kNever;  // in_vain_for()
  Instant next_round_ = kNever;
  int unanswered_ = 0;
  int stream_ = 0;  // see kStream
  Instant heard_until_{};
  std::uint32_t uses_ = 0;
  bool doubted_ = false;  // the peer has left the path in use, and nothing has answered by it since
  Instant asked_at_{};
  Instant noted_search_at_{};
  std::optional<std::uint16_t> died_by_;  // the socket of the direct way that was lost last, until another answers
  std::optional<Way> challenger_;
  Instant challenge_began_{};
  Instant challenge_ends_ = kNever;
  struct Event {
    Instant at;
    std::string what;
  };
  std::vector<Event> events_;
};

}  // namespace eps::mesh
