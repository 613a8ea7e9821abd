// SPDX-License-Identifier: MIT
#pragma once

// The largest datagram that each way to one peer carries: RFC 8899 (DPLPMTUD) with padded pings that must not be
// fragmented and that the peer answers with small ones. ICMP messages from routers are ignored.
//
//   start    a size that passes everywhere; no probes until something large is to be sent that way
//   search   a ladder of usual sizes at once, then those without an answer again, then finer steps between the largest
//            with an answer and the smallest without: an answer raises the size at once, after one round trip
//   check    while large datagrams flow, the size in use is probed every kCheckEvery. If kLost probes in a row stay
//            unanswered while small pings are answered, the way has shrunk: back to the start, and a new search
//   raise    while large datagrams flow, a search for more every kRaiseEvery
//
// Sizes are UDP payloads, the envelope of a relay included.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "model/way.h"

namespace eps::mesh {

inline constexpr Duration kCheckEvery = std::chrono::milliseconds(400);
// At most three times, every 100 ms after a check, plus the caller's 200 ms: a TCP retransmission 1.4 s after the last
// datagram that passed already uses the right size.
inline constexpr Duration kCheckAgain = std::chrono::milliseconds(100);
inline constexpr int kLostChecks = 3;
inline constexpr Duration kSearchPauseMin = std::chrono::milliseconds(150);  // for the answers to one round
inline constexpr Duration kRaiseEvery = std::chrono::seconds(60);
inline constexpr std::size_t kIpUdp4 = 28;  // headers of IPv4 and UDP
inline constexpr std::size_t kIpUdp6 = 48;
inline constexpr std::size_t kMaxSizedWays = 8;  // of one peer; the oldest one not in use is forgotten first

class PathMtu {
 public:
  explicit PathMtu(Rng& rng) : rng_(&rng) {}

  struct Probe {
    Way way;
    std::uint64_t id = 0;
    std::size_t size = 0;  // 0: as small as possible
  };

  // Traffic uses this way now. `headers`: kIpUdp4 or kIpUdp6, as on our side of it; `wanted`: the largest datagram that
  // would be useful.
  void use(const Way& way, std::size_t headers, std::size_t wanted, Instant now);
  // One of the two ends has moved: forgets all ways.
  void moved();
  // The probes to send now. `large_flows`: datagrams near the size in use were sent recently.
  std::vector<Probe> take_due(bool large_flows, std::optional<Duration> round_trip, Instant now);
  // Large datagrams are lost for another reason than their size: what is known of the way stays.
  void rest() {
    if (!known_.empty()) known_.back().unanswered = 0;
  }
  // True when the size in use grew.
  bool on_answer(std::uint64_t id, Instant now);
  // True once after take_due() made the size in use smaller.
  bool take_shrunk() { return std::exchange(shrunk_, false); }
  Instant next_deadline() const;

  // The size of datagrams by this way: the one found, or one that passes everywhere.
  std::size_t datagram(const Way& way, std::size_t headers) const;
  // The largest IP packet that was answered by this way; nullopt until something large was sent.
  std::optional<std::size_t> path_mtu(const Way& way) const;
  // Whether a search found that size and none is running.
  bool settled(const Way& way) const;

 private:
  struct Known {
    Way way;
    std::size_t headers = 0;
    std::size_t size = 0;
    std::size_t wanted = 0;
    bool measured = false;
    // Search.
    bool searching = false;
    int round = 0;
    std::vector<std::size_t> asked;  // in this round, rising
    std::size_t refused = 0;         // the smallest that was not answered
    Instant searched_at{};
    // Check.
    int unanswered = 0;
    bool small_passes = false;  // since the first of these
    Instant next{};
  };
  struct Asked {
    std::uint64_t id = 0;
    std::size_t size = 0;
    Way way;
  };
  const Known* find(const Way& way) const;
  Probe ask(const Known& known, std::size_t size);
  void begin(Known& known, Instant now);
  void search(Known& known, std::optional<Duration> round_trip, std::vector<Probe>& out, Instant now);
  void check(Known& known, std::optional<Duration> round_trip, std::vector<Probe>& out, Instant now);

  Rng* rng_;
  std::vector<Known> known_;  // the one in use last
  static constexpr std::size_t kAsked = 32;
  std::vector<Asked> asked_;  // the last kAsked, any of which may still be answered; empty until the first
  std::size_t next_asked_ = 0;
  bool shrunk_ = false;
};

}  // namespace eps::mesh
