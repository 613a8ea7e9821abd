#pragma once

// How large a datagram each way to one peer takes: RFC 8899 (DPLPMTUD) with padded pings that must not be fragmented,
// which the peer answers with small ones. What routers say by ICMP counts for nothing.
//
//   start    a size that passes everywhere; nothing is sent before something large wants to go by the way
//   search   a ladder of usual sizes at once, again what was not answered, then finer between the largest that was
//            answered and the smallest that was not: an answer raises the size at once, after one round trip
//   check    while large datagrams flow, the size in use is asked every kCheckEvery. When it stays unanswered kLost
//            times while small pings are answered the way has shrunk: back to the start, and a new search
//   raise    while large datagrams flow, a search for more every kRaiseEvery
//
// Sizes are UDP payloads, the envelope of a relay included.

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "model/way.h"

namespace eps::mesh {

inline constexpr Duration kCheckEvery = std::chrono::milliseconds(400);
// Three times at most every 100 ms after a check, and the caller's 200 ms: a retransmission of TCP 1.4 s after the last
// datagram that passed meets the right size.
inline constexpr Duration kCheckAgain = std::chrono::milliseconds(100);
inline constexpr int kLostChecks = 3;
inline constexpr Duration kSearchPauseMin = std::chrono::milliseconds(150);  // for the answers to one round
inline constexpr Duration kRaiseEvery = std::chrono::seconds(60);
inline constexpr std::size_t kIpUdp4 = 28;  // headers of IPv4 and UDP
inline constexpr std::size_t kIpUdp6 = 48;
inline constexpr std::size_t kMaxSizedWays = 8;  // of one peer; of the ways not in use the oldest is forgotten

class PathMtu {
 public:
  explicit PathMtu(Rng& rng) : rng_(&rng) {}

  struct Probe {
    Way way;
    std::uint64_t id = 0;
    std::size_t size = 0;  // 0: as small as may be
  };

  // Traffic goes by this way now. `headers`: kIpUdp4 or kIpUdp6, as our side of it needs; `wanted`: the largest
  // datagram that there is any use for.
  void use(const Way& way, std::size_t headers, std::size_t wanted, Instant now);
  // One of the two ends has moved: nothing is known of any way.
  void moved();
  // What is to be sent now. `large_flows`: datagrams near the size in use were sent lately.
  std::vector<Probe> take_due(bool large_flows, std::optional<Duration> round_trip, Instant now);
  // True when the size in use grew.
  bool on_answer(std::uint64_t id, Instant now);
  // True once after take_due() made the size in use smaller.
  bool take_changed() { return std::exchange(changed_, false); }
  // True once after a search has ended, also where it found nothing larger.
  bool take_settled() { return std::exchange(settled_, false); }
  Instant next_deadline() const;

  // The size of datagrams by this way: what is known of it, or what passes everywhere.
  std::size_t datagram(const Way& way, std::size_t headers) const;
  // The largest IP packet that was answered by this way; nullopt until something large has gone there.
  std::optional<std::size_t> path_mtu(const Way& way) const;
  // Whether a search has found that size, and none is under way.
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
  std::vector<Known> known_;       // the one in use last
  std::array<Asked, 32> asked_{};  // of which any may still be answered
  std::size_t next_asked_ = 0;
  bool changed_ = false;
  bool settled_ = false;
};

}  // namespace eps::mesh
