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
  // Returns the directions that contradict from now on: `to` received more than `from` sent, which neither loss nor the
  // moments of the two reports explain.
  std::vector<PairStatus> take(MemberId from, const TrafficReport& report, Instant now);
  // All are asked now: what they answer refers to the same time.
  void begin_round() { ++round_; }
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
  // Of a direction: what both reported since they last did so in the same round, compared then.
  struct Check {
    std::uint32_t from_round = 0, to_round = 0;
    std::uint8_t strikes = 0;  // in succession
    struct Amount {
      std::int64_t sent = 0, received = 0;
      std::int64_t ahead = 0;  // sent and not received, carried over: what was in transit, or between the two reports
      // False: more was received than sent.
      bool plausible(std::int64_t slack);
    };
    Amount packets, bytes;
  };
  PairStatus& pair(MemberId from, MemberId to);
  bool judge(PairStatus& pair);
  std::vector<PairStatus> compare(MemberId from, const TrafficReport& report);
  std::vector<MemberId> partners_of(MemberId member) const;

  Instant started_;
  std::uint32_t round_ = 1;
  std::map<MemberId, Teller> tellers_;
  std::map<std::pair<MemberId, MemberId>, PairStatus> pairs_;
  std::map<std::pair<MemberId, MemberId>, Check> checks_;  // of the same
};

}  // namespace eps::node
