// SPDX-License-Identifier: MIT
#pragma once

// Paces what the server hears about the endpoints of each member, from itself and from its data socket: every change
// goes to everybody else and makes them look for paths anew, so one member that changes all the time would keep all
// others busy. Many changes pass at once, as a laptop that roams makes a few at each move, then one a second; of those
// in between only the last counts. The pace is the member's, whatever its connections do.
//
// Thread rules: one thread.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/rate_limit.h"
#include "base/time.h"
#include "base/types.h"
#include "model/network.h"

namespace eps::control {

inline constexpr Duration kNewsPause = std::chrono::seconds(1);
inline constexpr Duration kNewsBurst = std::chrono::seconds(60);  // sixty changes at once
// A member is called a flooder when so many of its changes had to wait within a minute; and as long afterwards as it
// goes on, and a minute longer.
inline constexpr int kNewsFlood = 60;
inline constexpr Duration kNewsWindow = std::chrono::minutes(1);

class EndpointNews {
 public:
  struct News {
    std::optional<std::vector<Candidate>> announced;  // by the member
    std::vector<Endpoint> observed;                   // of its data socket, at most one of each family
  };
  void announced(MemberId member, std::vector<Candidate> candidates) {
    paces_[member].news.announced = std::move(candidates);
  }
  void observed(MemberId member, const Endpoint& endpoint);

  enum class Verdict : std::uint8_t {
    now,      // take() the news
    waits,    // take_due() names the member in time
    flooded,  // likewise, and to be reported: once in a window
  };
  // What was just added is a change.
  Verdict judge(MemberId member, Instant now);
  bool waits(MemberId member) const;
  // Nothing waits any more.
  News take(MemberId member);
  // Members whose news may be taken now.
  std::vector<MemberId> take_due(Instant now);
  Instant next_deadline() const { return due_.empty() ? kNever : due_.begin()->first; }
  // It is no longer a member.
  void forget(MemberId member);

  bool floods(MemberId member, Instant now) const;
  // Changes that had to wait, since the start.
  std::uint64_t held(MemberId member) const;

 private:
  struct Pace {
    RateLimit rate;
    News news;
    std::optional<Instant> due;  // something waits
    std::uint64_t held = 0;
    ExcessWatch excess;
  };
  std::map<MemberId, Pace> paces_;
  std::set<std::pair<Instant, MemberId>> due_;
};

}  // namespace eps::control
