// SPDX-License-Identifier: MIT
#pragma once

// What a member counted of its traffic with each peer, reported when the server asks. All members are asked at the same
// moment, so that what A sent to B and what B received from A refer to nearly the same time.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "model/path_kind.h"

namespace eps {

inline constexpr std::size_t kMaxPeersPerReport = 300;  // those with the most traffic; the others are omitted
inline constexpr std::size_t kMaxReasonSize = 128;      // bytes

// Since the start of the member's program.
struct PeerReport {
  MemberId peer;
  std::uint64_t packets_sent = 0, bytes_sent = 0;
  std::uint64_t packets_received = 0, bytes_received = 0;
  PathKind path = PathKind::none;
  std::optional<Duration> round_trip;  // whole microseconds, less than an hour
  std::string reason;                  // why it is not direct, printable; "" unknown
  bool operator==(const PeerReport&) const = default;
};

struct TrafficReport {
  Duration uptime{};  // of the member's program, whole milliseconds
  std::vector<PeerReport> peers;
  bool operator==(const TrafficReport&) const = default;
};

// Two-sided figures of one direction, accumulated since the server started and across restarts of the members.
struct PairStatus {
  MemberId from, to;
  std::uint64_t packets_sent = 0, bytes_sent = 0;          // according to `from`
  std::uint64_t packets_received = 0, bytes_received = 0;  // according to `to`
  PathKind path = PathKind::none;                          // the remaining fields are from the last report of `from`
  std::optional<Duration> round_trip;
  std::string reason;
  // Between the last two reports of each.
  std::uint64_t recent_packets_sent = 0, recent_packets_received = 0;
  std::uint64_t sent_when_heard = 0;  // packets_sent when `to` last reported
  std::uint64_t unheard = 0;          // packets_sent while `to` was not running: their fate is unknown
  // `to` reports much more than `from` says it sent, three times in succession: one of them does not tell the truth.
  bool contradicts = false;
  std::uint64_t contradictions = 0;  // how often, since the server started

  // What was lost in transit, as far as both have reported. `to_online`: `to` is there to report.
  std::uint64_t packets_lost(bool to_online) const {
    const std::uint64_t sent = to_online ? packets_sent : sent_when_heard;
    const std::uint64_t accounted = unheard + packets_received;
    return sent > accounted ? sent - accounted : 0;
  }
};

}  // namespace eps
