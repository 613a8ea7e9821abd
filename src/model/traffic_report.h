#pragma once

// What a member counted of its traffic with each peer, as it tells the server when asked. All members are asked at the
// same moment: then what A sent to B and what B received from A are of nearly the same time.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "model/path_kind.h"

namespace eps {

inline constexpr std::size_t kMaxPeersPerReport = 300;  // those with the most traffic; the others are left out
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

// Two-sided figures of one direction, added up since the server started and across restarts of the members.
struct PairStatus {
  MemberId from, to;
  std::uint64_t packets_sent = 0, bytes_sent = 0;          // what `from` says
  std::uint64_t packets_received = 0, bytes_received = 0;  // what `to` says
  PathKind path = PathKind::none;                          // the rest is what `from` said last
  std::optional<Duration> round_trip;
  std::string reason;
};

}  // namespace eps
