#include "report/scorecard.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

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

std::string keys_text(const std::vector<Figure>& figures) {
  std::string out;
  for (const Figure& f : figures) {
    for (const std::string_view part : {f.group, std::string_view(f.subject), std::string_view(f.other)}) {
      if (!part.empty()) out.append(part).append(".");
    }
    out.append(f.name).append("=").append(std::to_string(f.value)).append("\n");
  }
  return out;
}

std::string prometheus_name(const Figure& f) {
  std::string out = "eps_";
  // Prometheus calls a counter a total by the end of its name.
  if (!f.group.empty() && f.group != "total") out.append(f.group).append("_");
  out.append(f.name);
  return f.counter ? out + "_total" : out;
}

// Names of members and reasons need no escapes: letters, digits, '-', '_' and '.'.
std::string prometheus_labels(const Figure& f) {
  if (f.subject.empty()) return "";
  if (!f.other.empty()) return "{from=\"" + f.subject + "\",to=\"" + f.other + "\"}";
  return "{" + (f.group == "drop" ? "reason" : std::string(f.group)) + "=\"" + f.subject + "\"}";
}

std::string prometheus_text(const std::vector<Figure>& figures) {
  // All samples of one name stand together, as the format wants it.
  std::vector<std::string> order;
  std::map<std::string, std::string> samples;
  for (const Figure& f : figures) {
    const std::string name = prometheus_name(f);
    auto [it, added] = samples.try_emplace(name);
    if (added) {
      order.push_back(name);
      it->second = "# TYPE " + name + (f.counter ? " counter\n" : " gauge\n");
    }
    it->second += name + prometheus_labels(f) + " " + std::to_string(f.value) + "\n";
  }
  std::string out;
  for (const std::string& name : order) out += samples[name];
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
  c.totals({s.traffic, s.connections_established}, passed, s.drops);
  std::map<MemberId, std::string> names;
  for (const ServerMemberStatus& m : s.members) {
    names[m.member.id] = c.subject = m.member.name;
    c.add("member", "online", m.member.online ? 1 : 0);
    if (m.uptime) c.add("member", "uptime_seconds", Collector::seconds(*m.uptime));
    c.add("member", "packets_relayed_from", m.relayed.packets_forwarded, true);
    c.add("member", "bytes_relayed_from", m.relayed.bytes_forwarded, true);
    c.add("member", "packets_relayed_to", m.relayed.packets_sent, true);
    c.add("member", "bytes_relayed_to", m.relayed.bytes_sent, true);
  }
  for (const PairStatus& pair : s.pairs) {
    c.subject = names[pair.from];
    c.other = names[pair.to];
    if (c.subject.empty() || c.other.empty()) continue;
    c.add("pair", "direct", pair.path == PathKind::direct ? 1 : 0);
    c.add("pair", "relayed", pair.path == PathKind::relayed ? 1 : 0);
    c.add("pair", "packets_sent", pair.packets_sent, true);
    c.add("pair", "bytes_sent", pair.bytes_sent, true);
    c.add("pair", "packets_received", pair.packets_received, true);
    c.add("pair", "bytes_received", pair.bytes_received, true);
    c.add("pair", "packets_lost", pair.packets_sent - std::min(pair.packets_sent, pair.packets_received));
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
