#include "node/traffic_reports.h"

#include <algorithm>

namespace eps::node {

PairStatus& TrafficReports::pair(MemberId from, MemberId to) {
  PairStatus& out = pairs_[{from, to}];
  out.from = from;
  out.to = to;
  return out;
}

void TrafficReports::take(MemberId from, const TrafficReport& report, Instant now) {
  const auto [at, first] = tellers_.try_emplace(from);
  Teller& teller = at->second;
  // A program that started again began to count again.
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
    // A counter that went back is one that began again, as of a peer that left and came back.
    const auto passed = [](std::uint64_t value, std::uint64_t was) { return value < was ? value : value - was; };
    PairStatus& out = pair(from, peer.peer);
    out.recent_packets_sent = passed(peer.packets_sent, base.packets_sent);
    out.packets_sent += out.recent_packets_sent;
    out.bytes_sent += passed(peer.bytes_sent, base.bytes_sent);
    out.path = peer.path;
    out.round_trip = peer.round_trip;
    out.reason = peer.reason;
    PairStatus& in = pair(peer.peer, from);
    if (restarted) in.unheard += in.packets_sent - std::min(in.packets_sent, in.sent_when_heard);
    in.recent_packets_received = passed(peer.packets_received, base.packets_received);
    in.packets_received += in.recent_packets_received;
    in.sent_when_heard = in.packets_sent;
    in.bytes_received += passed(peer.bytes_received, base.bytes_received);
    heard.insert_or_assign(peer.peer, peer);
  }
  // What is left out of this report, because there are busier ones, goes on from where it was.
  if (!restarted) heard.merge(teller.last);
  teller.last = std::move(heard);
  teller.uptime = report.uptime;
}

void TrafficReports::keep(const std::map<MemberId, Member>& members) {
  const auto gone = [&](MemberId id) { return !members.contains(id); };
  std::erase_if(tellers_, [&](const auto& entry) { return gone(entry.first); });
  for (auto& [id, teller] : tellers_) std::erase_if(teller.last, [&](const auto& entry) { return gone(entry.first); });
  std::erase_if(pairs_, [&](const auto& entry) { return gone(entry.first.first) || gone(entry.first.second); });
}

std::optional<Duration> TrafficReports::uptime(MemberId member) const {
  const auto it = tellers_.find(member);
  return it == tellers_.end() ? std::nullopt : std::optional(it->second.uptime);
}

}  // namespace eps::node
