// SPDX-License-Identifier: MIT
#include "wire/report_proto.h"

#include <algorithm>

#include "control.pb.h"

namespace eps::wire {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::uint32_t kMaxRoundTrip = 3'600'000'000;             // microseconds
constexpr std::uint64_t kMaxUptime = 1000ULL * 86400 * 365 * 100;  // milliseconds
constexpr std::uint32_t kMaxId = 0xffffff;

bool printable(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

bool take(const proto::Report& from, TrafficReport& to) {
  if (from.peers_size() > static_cast<int>(kMaxPeersPerReport) || from.uptime_ms() > kMaxUptime) return false;
  to.uptime = milliseconds(from.uptime_ms());
  for (const proto::PeerReport& p : from.peers()) {
    if (p.member() == 0 || p.member() > kMaxId || p.path() > 2 || p.round_trip_us() > kMaxRoundTrip ||
        p.reason().size() > kMaxReasonSize || !printable(p.reason())) {
      return false;
    }
    PeerReport& peer = to.peers.emplace_back();
    peer.peer = {p.member()};
    peer.packets_sent = p.packets_sent();
    peer.bytes_sent = p.bytes_sent();
    peer.packets_received = p.packets_received();
    peer.bytes_received = p.bytes_received();
    peer.path = static_cast<PathKind>(p.path());
    if (p.round_trip_us() != 0) peer.round_trip = microseconds(p.round_trip_us());
    peer.reason = p.reason();
  }
  return true;
}

void put(const TrafficReport& from, proto::Report& to) {
  to.set_uptime_ms(static_cast<std::uint64_t>(std::chrono::floor<milliseconds>(from.uptime).count()));
  for (const PeerReport& peer : from.peers) {
    proto::PeerReport& p = *to.add_peers();
    p.set_member(peer.peer.value);
    p.set_packets_sent(peer.packets_sent);
    p.set_bytes_sent(peer.bytes_sent);
    p.set_packets_received(peer.packets_received);
    p.set_bytes_received(peer.bytes_received);
    p.set_path(static_cast<std::uint32_t>(peer.path));
    if (peer.round_trip) {
      const auto us = std::chrono::ceil<microseconds>(*peer.round_trip).count();
      p.set_round_trip_us(static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 1, kMaxRoundTrip)));
    }
    p.set_reason(peer.reason);
  }
}

}  // namespace eps::wire
