// SPDX-License-Identifier: MIT
#include "report/prometheus.h"

#include <algorithm>
#include <array>
#include <map>

#include "report/text.h"

namespace eps::report {
namespace {

struct Help {
  std::string_view name;  // without "eps_" and "_total"
  std::string_view text;
};
constexpr std::array kHelp = std::to_array<Help>({
    {"time_seconds", "Unix time at which these figures were taken."},
    {"uptime_seconds", "Time since the program started."},
    {"connected", "Whether the client is connected to its server and admitted."},
    {"peers", "Other members of the network."},
    {"peers_online", "Other members that are online."},
    {"peers_direct", "Other members that are reached directly."},
    {"peers_relayed", "Other members that are reached through a relay."},
    {"members", "Members that are enrolled."},
    {"members_online", "Members that are connected to the server."},
    {"pairs", "Pairs of sender and receiver that have reported traffic; of many, only the busiest have figures here."},
    {"packets_sent", "Frames that a client took from its interface; the server's own messages."},
    {"bytes_sent", "Bytes of the frames that a client took from its interface; of the server's own messages."},
    {"packets_received", "Frames that a client gave to its interface; what the server received."},
    {"bytes_received", "Bytes of the frames that a client gave to its interface; of what the server received."},
    {"packets_forwarded", "Datagrams relayed for members."},
    {"bytes_forwarded", "Bytes of the datagrams relayed for members."},
    {"connections_established", "Admitted connections between clients and the server."},
    {"interval_seconds", "Length of the last interval."},
    {"interval_packets_sent", "packets_sent of the last interval."},
    {"interval_bytes_sent", "bytes_sent of the last interval."},
    {"interval_packets_received", "packets_received of the last interval."},
    {"interval_bytes_received", "bytes_received of the last interval."},
    {"interval_packets_forwarded", "packets_forwarded of the last interval."},
    {"interval_bytes_forwarded", "bytes_forwarded of the last interval."},
    {"interval_connections_established", "connections_established of the last interval."},
    {"drop_packets", "Dropped packets, by reason."},
    {"policy_drop_packets", "Frames that the network's policy dropped, by the rule of the present policy."},
    {"peer_online", "Whether the peer is online."},
    {"peer_direct", "Whether the peer is reached directly."},
    {"peer_relayed", "Whether the peer is reached through a relay."},
    {"peer_packets_sent", "Frames sent to the peer."},
    {"peer_bytes_sent", "Bytes of the frames sent to the peer."},
    {"peer_packets_received", "Frames received from the peer."},
    {"peer_bytes_received", "Bytes of the frames received from the peer."},
    {"peer_round_trip_seconds", "Round trip to the peer by the path in use, as measured last."},
    {"member_online", "Whether the member is connected to the server."},
    {"member_last_seen_seconds", "Unix time at which the member was last connected."},
    {"member_uptime_seconds", "Time since the member's program started, as last reported."},
    {"member_packets_relayed_from", "Datagrams relayed for the member as their sender."},
    {"member_bytes_relayed_from", "Bytes of the datagrams relayed for the member as their sender."},
    {"member_packets_relayed_to", "Datagrams relayed to the member."},
    {"member_bytes_relayed_to", "Bytes of the datagrams relayed to the member."},
    {"member_packets_relay_limited", "Datagrams of the member that were dropped beyond --relay-limit."},
    {"pair_direct", "Whether the sender reaches the receiver directly."},
    {"pair_relayed", "Whether the sender reaches the receiver through a relay."},
    {"pair_packets_sent", "Frames sent, as reported by the sender."},
    {"pair_bytes_sent", "Bytes of the frames sent, as reported by the sender."},
    {"pair_packets_received", "Frames received, as reported by the receiver."},
    {"pair_bytes_received", "Bytes of the frames received, as reported by the receiver."},
    {"pair_packets_lost", "Frames that were sent and did not arrive, as far as both have told."},
    {"pair_round_trip_seconds", "Round trip from the sender by the path in use, as measured last."},
});

std::string_view help_of(std::string_view name) {
  const auto it = std::ranges::find(kHelp, name, &Help::name);
  return it == kHelp.end() ? std::string_view() : it->text;
}

// Times are seconds in Prometheus, whatever the scorecard's whole numbers count.
struct Unit {
  std::string_view name;
  std::uint64_t per_second;
  int digits;
};
constexpr std::array<Unit, 2> kUnits = {{{"microseconds", 1'000'000, 6}, {"milliseconds", 1'000, 3}}};
const Unit* unit_of(std::string_view name) {
  const auto it = std::ranges::find_if(kUnits, [&](const Unit& unit) { return name.ends_with(unit.name); });
  return it == kUnits.end() ? nullptr : it;
}

std::string base_name(const Figure& f) {
  std::string out;
  // Prometheus calls a counter a total by the end of its name.
  if (!f.group.empty() && f.group != "total") out.append(f.group).append("_");
  std::string_view name = f.name;
  if (const Unit* unit = unit_of(name)) {
    name.remove_suffix(unit->name.size());
    return out.append(name).append("seconds");
  }
  return out.append(name);
}

std::string value_of(const Figure& f) {
  const Unit* unit = unit_of(f.name);
  if (unit == nullptr) return std::to_string(f.value);
  return decimals(static_cast<double>(f.value) / static_cast<double>(unit->per_second), unit->digits);
}

std::string label(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string labels(const Figure& f) {
  if (f.subject.empty()) return "";
  if (!f.other.empty()) return "{from=" + label(f.subject) + ",to=" + label(f.other) + "}";
  if (f.group == "policy_drop") return "{rule=" + label(f.subject) + "}";
  return "{" + (f.group == "drop" ? "reason" : std::string(f.group)) + "=" + label(f.subject) + "}";
}

}  // namespace

std::string prometheus_text(const std::vector<Figure>& figures) {
  // All samples of one name stand together, as the format wants it.
  std::vector<std::string> order;
  std::map<std::string, std::string> samples;
  for (const Figure& f : figures) {
    const std::string base = base_name(f), name = "eps_" + base + (f.counter ? "_total" : "");
    auto [it, added] = samples.try_emplace(name);
    if (added) {
      order.push_back(name);
      it->second.append("# HELP ").append(name).append(" ").append(help_of(base)).append("\n");
      it->second.append("# TYPE ").append(name).append(f.counter ? " counter\n" : " gauge\n");
    }
    it->second += name + labels(f) + " " + value_of(f) + "\n";
  }
  std::string out;
  for (const std::string& name : order) out += samples[name];
  return out;
}

}  // namespace eps::report
