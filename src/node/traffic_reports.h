// SPDX-License-Identifier: MIT
#pragma once

// The server's record of the members' reports about their traffic with each other.

#include <map>
#include <utility>
#include <vector>

#include "base/time.h"
#include "model/network.h"
#include "model/traffic_report.h"

namespace eps::node {

class TrafficReports {
 public:
  explicit TrafficReports(Instant started) : started_(started) {}

  // A member's counters begin at zero with its program, and ours with the server: what a member counted before the
  // server started is left out, what it counted since its own restart is added.
  void take(MemberId from, const TrafficReport& report, Instant now);
  // It is no longer a member.
  void forget(MemberId member);

  // All directions with traffic or a known path, ordered by `from` and `to`.
  const std::map<std::pair<MemberId, MemberId>, PairStatus>& pairs() const { return pairs_; }
  // The first `most` of them after `after`, or of those of one member, when `of` is not 0.
  struct Page {
    std::vector<PairStatus> pairs;
    bool more = false;  // there are more
  };
  Page page(MemberId of, std::pair<MemberId, MemberId> after, std::size_t most) const;
  // How long the member's program had been running when it last reported; nullopt: it has not reported.
  std::optional<Duration> uptime(MemberId member) const;

 private:
  struct Teller {
    Duration uptime{};
    std::map<MemberId, PeerReport> last;
  };
  PairStatus& pair(MemberId from, MemberId to);
  std::vector<MemberId> partners_of(MemberId member) const;

  Instant started_;
  std::map<MemberId, Teller> tellers_;
  std::map<std::pair<MemberId, MemberId>, PairStatus> pairs_;
};

}  // namespace eps::node
