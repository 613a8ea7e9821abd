// SPDX-License-Identifier: MIT
#pragma once

// Limits how many computers join for the first time from one source: a token bucket per source, so that a leaked key
// does not fill the network's addresses within seconds. Returning members are not counted.
//
// A source is one subscriber (base/ip_network.h).

#include <map>

#include "base/time.h"
#include "base/types.h"

namespace eps::control {

inline constexpr int kJoinBurst = 32;  // a classroom behind one NAT
inline constexpr Duration kJoinRefill = std::chrono::seconds(30);
// Sources remembered at once; beyond that, those with a full bucket go first, then the one that joined longest ago.
inline constexpr std::size_t kMaxJoinSources = 4096;

class JoinLimit {
 public:
  // Takes one join; false: too many. Then `wait_for()` says how long until the next one is allowed.
  bool take(const IpAddress& from, Instant now);
  Duration wait_for(const IpAddress& from, Instant now) const;

 private:
  struct Bucket {
    Instant full_at{};  // when the whole burst is available again
  };
  void make_room(Instant now);

  std::map<IpAddress, Bucket> buckets_;
};

}  // namespace eps::control
