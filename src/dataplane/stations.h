// SPDX-License-Identifier: MIT
#pragma once

// Machines behind members that may bridge: which MAC was last seen in frames of which member. Like the table of a
// switch (IEEE 802.1D, section 7.8), with a bound for each member.

#include <cstddef>
#include <list>
#include <optional>
#include <unordered_map>

#include "base/mutex.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::dataplane {

inline constexpr Duration kStationLife = std::chrono::seconds(300);  // the "ageing time" of IEEE 802.1D
// Per member: a large LAN; the station that was silent for the longest time is replaced.
inline constexpr std::size_t kMaxStations = 1024;

// Thread-safe.
class Stations {
 public:
  static constexpr Mac kHere{};  // instead of a member: a frame from it came in through this computer's own interface
  // A frame from `station` came from the member with the MAC `via`: the machine is behind that member now.
  void learn(const Mac& station, const Mac& via, Instant now);
  void forget(const Mac& station);
  // The MAC of the member that it is behind, or kHere. nullopt: unknown, or silent for kStationLife.
  std::optional<Mac> where(const Mac& station, Instant now) const;

 private:
  struct Station {
    Mac mac;
    Mac via;
    Instant seen;
  };
  using Heard = std::list<Station>;  // of one member, the most recently heard at the end

  mutable Mutex mutex_;
  void erase(const Mac& station) EPS_REQUIRES(mutex_);
  std::unordered_map<Mac, Heard> behind_ EPS_GUARDED_BY(mutex_);  // by member
  std::unordered_map<Mac, Heard::iterator> places_ EPS_GUARDED_BY(mutex_);
};

// What one worker last reported to Stations, so that a stream of frames does not take its lock for each. Thread rules:
// one thread.
class StationMemory {
 public:
  // Whether this was not reported within the last second.
  bool is_news(const Mac& station, const Mac& via, Instant now) {
    if (station == station_ && via == via_ && now - at_ < std::chrono::seconds(1)) return false;
    station_ = station;
    via_ = via;
    at_ = now;
    return true;
  }

 private:
  Mac station_, via_;
  Instant at_{};
};

}  // namespace eps::dataplane
