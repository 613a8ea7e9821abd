// SPDX-License-Identifier: MIT
#include "node/traffic_reports.h"

#include <algorithm>
#include <utility>

namespace eps::node {
namespace {

// More than this must be missing, besides an eighth of what was received: the two sides count a moment apart.
constexpr std::int64_t kSlackPackets = 200;
constexpr std::int64_t kSlackBytes = 300'000;
constexpr std::uint8_t kStrikes = 3;

// No reported figure makes it overflow: whoever reports that much is wrong anyway.
void add(std::int64_t& to, std::uint64_t amount) {
  constexpr std::int64_t most = std::int64_t{1} << 60;
  to = std::min(to + static_cast<std::int64_t>(std::min<std::uint64_t>(amount, most)), most);
}

}  // namespace

PairStatus& TrafficReports::pair(MemberId from, MemberId to) {
  PairStatus& out = pairs_[{from, to}];
  out.from = from;
  out.to = to;
  return out;
}

bool TrafficReports::Check::Amount::plausible(std::int64_t slack) {
  const std::int64_t most = received / 8 + slack;
  ahead += std::exchange(sent, 0) - std::exchange(received, 0);
  const bool ok = ahead >= -most;
  // What is still ahead by much was lost; after a restart, whose last moments nobody reported, it begins anew.
  ahead = ok ? std::min(ahead, most) : 0;
  return ok;
}

// Both have reported in this round. True: it contradicts from now on.
bool TrafficReports::judge(PairStatus& pair) {
  Check& check = checks_[{pair.from, pair.to}];
  const bool packets = check.packets.plausible(kSlackPackets), bytes = check.bytes.plausible(kSlackBytes);
  if (packets && bytes) {
    check.strikes = 0;
    pair.contradicts = false;
    return false;
  }
  check.strikes = static_cast<std::uint8_t>(std::min(check.strikes + 1, kStrikes + 1));
  if (check.strikes < kStrikes) return false;
  ++pair.contradictions;
  return !std::exchange(pair.contradicts, true);
}

std::vector<PairStatus> TrafficReports::take(MemberId from, const TrafficReport& report, Instant now) {
  const auto [at, first] = tellers_.try_emplace(from);
  Teller& teller = at->second;
  // A restarted program counts from zero.
  const bool restarted = !first && report.uptime < teller.uptime;
  const bool older_than_us = first && report.uptime > now - started_;
  for (const auto& [id, peer] : teller.last) pair(from, id).path = PathKind::none;
  std::map<MemberId, PeerReport> heard;
  for (const PeerReport& peer : report.peers) {
    if (peer.peer == from) continue;
    const auto before = teller.last.find(peer.peer);
    PeerReport base;
    if (older_than_us) base = peer;
    if (!restarted && before != teller.last.end()) base = before->second;
    // A counter that went back has restarted, as of a peer that left and returned.
    const auto passed = [](std::uint64_t value, std::uint64_t was) { return value < was ? value : value - was; };
    PairStatus& out = pair(from, peer.peer);
    out.recent_packets_sent = passed(peer.packets_sent, base.packets_sent);
    out.packets_sent += out.recent_packets_sent;
    const std::uint64_t bytes_sent = passed(peer.bytes_sent, base.bytes_sent);
    out.bytes_sent += bytes_sent;
    out.path = peer.path;
    out.round_trip = peer.round_trip;
    out.reason = peer.reason;
    PairStatus& in = pair(peer.peer, from);
    if (restarted) in.unheard += in.packets_sent - std::min(in.packets_sent, in.sent_when_heard);
    in.recent_packets_received = passed(peer.packets_received, base.packets_received);
    in.packets_received += in.recent_packets_received;
    in.sent_when_heard = in.packets_sent;
    const std::uint64_t bytes_received = passed(peer.bytes_received, base.bytes_received);
    in.bytes_received += bytes_received;
    Check& sent = checks_[{from, peer.peer}];
    Check& received = checks_[{peer.peer, from}];
    add(sent.packets.sent, out.recent_packets_sent);
    add(sent.bytes.sent, bytes_sent);
    add(received.packets.received, in.recent_packets_received);
    add(received.bytes.received, bytes_received);
    heard.insert_or_assign(peer.peer, peer);
  }
  // Pairs left out of this report, because busier ones exist, continue from their last state.
  if (!restarted) heard.merge(teller.last);
  teller.last = std::move(heard);
  teller.uptime = report.uptime;
  return compare(from, report);
}

// What the member has just reported, with what its partners report in the same round. One that it leaves out has no
// traffic with it, unless the report is full.
std::vector<PairStatus> TrafficReports::compare(MemberId from, const TrafficReport& report) {
  std::vector<PairStatus> out;
  std::vector<MemberId> partners;
  if (report.peers.size() < kMaxPeersPerReport) {
    partners = partners_of(from);
  } else {
    for (const PeerReport& peer : report.peers) partners.push_back(peer.peer);
  }
  const auto look = [&](MemberId sender, MemberId receiver) {
    Check& check = checks_[{sender, receiver}];
    (sender == from ? check.from_round : check.to_round) = round_;
    if (check.from_round != check.to_round) return;
    if (PairStatus& p = pair(sender, receiver); judge(p)) out.push_back(p);
  };
  for (const MemberId partner : partners) {
    if (partner == from) continue;
    look(from, partner);
    look(partner, from);
  }
  return out;
}

// Members named in a report have a pair in each direction.
std::vector<MemberId> TrafficReports::partners_of(MemberId member) const {
  std::vector<MemberId> out;
  for (auto it = pairs_.lower_bound({member, {0}}); it != pairs_.end() && it->first.first == member; ++it) {
    out.push_back(it->first.second);
  }
  return out;
}

TrafficReports::Page TrafficReports::page(MemberId of, std::pair<MemberId, MemberId> after, std::size_t most) const {
  Page out;
  if (of.value == 0) {
    auto it = pairs_.upper_bound(after);
    for (; it != pairs_.end() && out.pairs.size() < most; ++it) out.pairs.push_back(it->second);
    out.more = it != pairs_.end();
    return out;
  }
  std::vector<std::pair<MemberId, MemberId>> keys;
  for (const MemberId partner : partners_of(of)) {
    for (const auto& key : {std::pair(of, partner), std::pair(partner, of)}) {
      if (key > after) keys.push_back(key);
    }
  }
  std::ranges::sort(keys);
  out.more = keys.size() > most;
  if (out.more) keys.resize(most);
  for (const auto& key : keys) out.pairs.push_back(pairs_.at(key));
  return out;
}

void TrafficReports::forget(MemberId member) {
  for (const MemberId partner : partners_of(member)) {
    pairs_.erase({member, partner});
    pairs_.erase({partner, member});
    checks_.erase({member, partner});
    checks_.erase({partner, member});
    if (const auto it = tellers_.find(partner); it != tellers_.end()) it->second.last.erase(member);
  }
  tellers_.erase(member);
}

std::optional<Duration> TrafficReports::uptime(MemberId member) const {
  const auto it = tellers_.find(member);
  return it == tellers_.end() ? std::nullopt : std::optional(it->second.uptime);
}

}  // namespace eps::node
