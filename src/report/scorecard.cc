// SPDX-License-Identifier: MIT
#include "report/scorecard.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "report/pairs.h"
#include "report/prometheus.h"

namespace eps::report {
namespace {

constexpr std::array<std::string_view, 3> kFormats = {"keys", "prometheus", "json"};

class Collector {
 public:
  void add(std::string_view group, std::string_view name, std::uint64_t value, bool counter = false) {
    figures.push_back({group, subject, other, name, value, counter});
  }
  void traffic(std::string_view group, const TrafficTotals& t, bool counter) {
    add(group, "packets_sent", t.packets_sent, counter);
    add(group, "bytes_sent", t.bytes_sent, counter);
    add(group, "packets_received", t.packets_received, counter);
    add(group, "bytes_received", t.bytes_received, counter);
    add(group, "packets_forwarded", t.packets_forwarded, counter);
    add(group, "bytes_forwarded", t.bytes_forwarded, counter);
  }
  void daemon(std::int64_t unix_time, Duration uptime) {
    add("", "time_seconds", static_cast<std::uint64_t>(std::max<std::int64_t>(unix_time, 0)));
    add("", "uptime_seconds", seconds(uptime));
  }
  void totals(const Totals& total, const std::optional<Passed>& passed,
              const std::map<std::string, std::uint64_t>& drops) {
    traffic("total", total.traffic, true);
    add("total", "connections_established", total.connections_established, true);
    if (passed) {
      add("interval", "milliseconds", static_cast<std::uint64_t>(passed->duration.count()));
      traffic("interval", passed->totals.traffic, false);
      add("interval", "connections_established", passed->totals.connections_established);
    }
    for (const auto& [reason, packets] : drops) {
      subject = reason;
      add("drop", "packets", packets, true);
    }
    subject.clear();
  }
  void round_trip(std::string_view group, const std::optional<Duration>& round_trip) {
    if (round_trip) add(group, "round_trip_microseconds", static_cast<std::uint64_t>(round_trip->count() / 1000));
  }
  static std::uint64_t seconds(Duration d) {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
  }

  std::string subject, other;  // of what is added next
  std::vector<Figure> figures;
};

// Of a pair two names follow each other, and a point in one of them would look like the one between them.
std::string name_in_pair(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (c == '.') {
      out += "%2E";
    } else {
      out += c;
    }
  }
  return out;
}

std::string keys_text(const std::vector<Figure>& figures) {
  std::string out;
  for (const Figure& f : figures) {
    if (!f.group.empty()) out.append(f.group).append(".");
    if (!f.other.empty()) {
      out.append(name_in_pair(f.subject)).append(".").append(name_in_pair(f.other)).append(".");
    } else if (!f.subject.empty()) {
      out.append(f.subject).append(".");
    }
    out.append(f.name).append("=").append(std::to_string(f.value)).append("\n");
  }
  return out;
}

std::string json_text(const std::vector<Figure>& figures) {
  nlohmann::json out = nlohmann::json::object();
  for (const Figure& f : figures) {
    nlohmann::json* at = &out;
    for (const std::string_view part : {f.group, std::string_view(f.subject), std::string_view(f.other)}) {
      if (!part.empty()) at = &(*at)[std::string(part)];
    }
    (*at)[std::string(f.name)] = f.value;
  }
  return out.dump(2) + "\n";
}

}  // namespace

std::optional<ScorecardFormat> parse_scorecard_format(std::string_view name) {
  const auto it = std::ranges::find(kFormats, name);
  if (it == kFormats.end()) return std::nullopt;
  return static_cast<ScorecardFormat>(it - kFormats.begin());
}

std::string_view name_of(ScorecardFormat format) {
  return kFormats[static_cast<std::size_t>(format)];
}

std::vector<Figure> figures_of(const ClientStatus& s, const std::optional<Passed>& passed, std::int64_t unix_time) {
  Collector c;
  c.daemon(unix_time, s.uptime);
  c.add("", "connected", s.connected ? 1 : 0);
  const auto count = [&](auto condition) {
    return static_cast<std::uint64_t>(std::ranges::count_if(s.peers, condition));
  };
  c.add("", "peers", s.peers.size());
  c.add("", "peers_online", count([](const PeerStatus& p) { return p.member.online; }));
  c.add("", "peers_direct", count([](const PeerStatus& p) { return p.path == PathKind::direct; }));
  c.add("", "peers_relayed", count([](const PeerStatus& p) { return p.path == PathKind::relayed; }));
  c.totals({s.traffic, s.connections_established}, passed, s.drops);
  if (s.policy) {
    for (const PolicyStatus::Dropped& dropped : s.policy->dropped) {
      c.subject = dropped.rule;
      c.add("policy_drop", "packets", dropped.packets, true);
    }
    c.subject.clear();
  }
  for (const PeerStatus& peer : s.peers) {
    c.subject = peer.member.name;
    c.add("peer", "online", peer.member.online ? 1 : 0);
    c.add("peer", "direct", peer.path == PathKind::direct ? 1 : 0);
    c.add("peer", "relayed", peer.path == PathKind::relayed ? 1 : 0);
    c.add("peer", "packets_sent", peer.traffic.packets_sent, true);
    c.add("peer", "bytes_sent", peer.traffic.bytes_sent, true);
    c.add("peer", "packets_received", peer.traffic.packets_received, true);
    c.add("peer", "bytes_received", peer.traffic.bytes_received, true);
    c.round_trip("peer", peer.round_trip);
  }
  return std::move(c.figures);
}

std::vector<Figure> figures_of(const ServerStatus& s, const std::optional<Passed>& passed, std::int64_t unix_time) {
  Collector c;
  c.daemon(unix_time, s.uptime);
  c.add("", "members", s.members.size());
  c.add("", "members_online",
        static_cast<std::uint64_t>(
            std::ranges::count_if(s.members, [](const ServerMemberStatus& m) { return m.member.online; })));
  c.add("", "pairs", s.pairs.size());
  c.totals({s.traffic, s.connections_established}, passed, s.drops);
  std::map<MemberId, const Member*> members;
  for (const ServerMemberStatus& m : s.members) {
    members[m.member.id] = &m.member;
    c.subject = m.member.name;
    c.add("member", "online", m.member.online ? 1 : 0);
    if (m.last_seen)
      c.add("member", "last_seen_seconds", static_cast<std::uint64_t>(std::max<std::int64_t>(*m.last_seen, 0)));
    if (m.uptime) c.add("member", "uptime_seconds", Collector::seconds(*m.uptime));
    c.add("member", "packets_relayed_from", m.relayed.packets_forwarded, true);
    c.add("member", "bytes_relayed_from", m.relayed.bytes_forwarded, true);
    c.add("member", "packets_relayed_to", m.relayed.packets_sent, true);
    c.add("member", "bytes_relayed_to", m.relayed.bytes_sent, true);
    if (s.relay_limit.any() || m.relay_limit_drops > 0) {
      c.add("member", "packets_relay_limited", m.relay_limit_drops, true);
    }
  }
  for (const PairStatus& pair : busiest_pairs(s)) {
    const auto from = members.find(pair.from), to = members.find(pair.to);
    if (from == members.end() || to == members.end()) continue;
    c.subject = from->second->name;
    c.other = to->second->name;
    c.add("pair", "direct", pair.path == PathKind::direct ? 1 : 0);
    c.add("pair", "relayed", pair.path == PathKind::relayed ? 1 : 0);
    c.add("pair", "packets_sent", pair.packets_sent, true);
    c.add("pair", "bytes_sent", pair.bytes_sent, true);
    c.add("pair", "packets_received", pair.packets_received, true);
    c.add("pair", "bytes_received", pair.bytes_received, true);
    c.add("pair", "packets_lost", pair.packets_lost(to->second->online));
    c.round_trip("pair", pair.round_trip);
  }
  return std::move(c.figures);
}

std::string scorecard_text(const std::vector<Figure>& figures, ScorecardFormat format) {
  switch (format) {
    case ScorecardFormat::prometheus:
      return prometheus_text(figures);
    case ScorecardFormat::json:
      return json_text(figures);
    case ScorecardFormat::keys:
      break;
  }
  return keys_text(figures);
}

}  // namespace eps::report
