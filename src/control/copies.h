// SPDX-License-Identifier: MIT
#pragma once

// Detects members that exist twice because somebody copied a state directory, or a whole machine. Every run of a
// client's program has a random number. A run that was displaced by another run with the same key and then returns is
// still alive: there are two. Restarting, roaming or losing a connection never looks like that.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "base/time.h"
#include "base/types.h"

namespace eps::control {

// A copy retries every 10 to 15 s; one that has not retried for this long is gone.
inline constexpr Duration kCopyGone = std::chrono::minutes(1);
// The log mentions the same member again after this long.
inline constexpr Duration kTellCopyAgain = std::chrono::hours(1);

class Copies {
 public:
  // The run `newer` requests the place that `holder` has. If `newer` had it before, the place stays with `holder`;
  // otherwise it is given to `newer`, and that is remembered. 0 is a program of an older version, which has no number.
  struct Answer {
    bool is_copy = false;
    bool tell = false;  // in the log
  };
  Answer ask(MemberId member, std::uint64_t newer, std::uint64_t holder, const IpAddress& from, Instant now) {
    if (newer == 0 || holder == 0 || newer == holder) return {};
    Known& known = known_[member];
    if (std::ranges::find(known.replaced, newer) == known.replaced.end()) {
      known.replaced.push_back(holder);
      if (known.replaced.size() > kRemembered) known.replaced.pop_front();
      return {};
    }
    known.at = from;
    known.asked = now;
    const bool tell = !known.told || now >= *known.told + kTellCopyAgain;
    if (tell) known.told = now;
    return {true, tell};
  }
  // The address of the copy that did not get the place.
  std::optional<IpAddress> at(MemberId member, Instant now) const {
    const auto it = known_.find(member);
    if (it == known_.end() || !it->second.asked || now >= *it->second.asked + kCopyGone) return std::nullopt;
    return it->second.at;
  }
  void forget(MemberId member) { known_.erase(member); }

 private:
  static constexpr std::size_t kRemembered = 8;  // runs of one member
  struct Known {
    std::deque<std::uint64_t> replaced;
    IpAddress at{};
    std::optional<Instant> asked, told;
  };
  std::unordered_map<MemberId, Known> known_;
};

}  // namespace eps::control
