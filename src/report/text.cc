// SPDX-License-Identifier: MIT
#include "report/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

namespace eps::report {
namespace {

using nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

constexpr std::uint64_t kLongSilent = 10;  // seconds

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Cut to so many characters, the last one an ellipsis where something is missing.
std::string shortened(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::string out;
  std::size_t seen = 0;
  for (const char c : text) {
    seen += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
    if (seen >= width) break;
    out += c;
  }
  return out + "\u2026";
}

// What a field shows as; "-" if it is missing, null or empty.
std::string show(const json& object, const char* field) {
  const auto it = object.find(field);
  if (it == object.end() || it->is_null() || it->empty()) return "-";
  if (it->is_string()) return it->get<std::string>().empty() ? "-" : it->get<std::string>();
  return it->dump();
}

// A part of the status, or an empty object if the daemon does not give it.
json part(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_object() ? *it : json::object();
}

std::uint64_t number(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_number_unsigned()  ? it->get<std::uint64_t>()
         : it != object.end() && it->is_number_integer() ? static_cast<std::uint64_t>(std::max<std::int64_t>(0, *it))
                                                         : 0;
}

bool flag(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_boolean() && it->get<bool>();
}

// Neither missing nor null.
bool is_false(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_boolean() && !it->get<bool>();
}

std::string age(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_number() ? human_duration(number(object, field)) : "-";
}

std::string last_seen(const json& member) {
  if (flag(member, "online")) return "now";
  const std::string ago = age(member, "last_seen_seconds");
  return ago == "-" ? ago : ago + " ago";
}

std::string amount(const json& traffic, const std::string& what) {
  return human_bytes(number(traffic, ("bytes_" + what).c_str())) + " in " +
         counted(number(traffic, ("packets_" + what).c_str()), "packet");
}

void traffic_rows(const json& status, Rows& rows) {
  const json traffic = part(status, "traffic");
  rows.push_back({"sent", amount(traffic, "sent")});
  rows.push_back({"received", amount(traffic, "received")});
  if (number(traffic, "packets_forwarded") != 0) rows.push_back({"forwarded", amount(traffic, "forwarded")});
  const json drops = part(status, "drops");
  std::string dropped;
  for (const auto& [reason, packets] : drops.items()) {
    dropped += (dropped.empty() ? "" : ", ") + packets.dump() + " " + reason;
  }
  if (!dropped.empty()) rows.push_back({"dropped", dropped});
}

std::string network_line(const json& status) {
  const json network = part(status, "network");
  if (network.empty()) return "-";
  const std::string six = network.contains("address6") ? ", " + show(network, "address6") : "";
  return show(network, "address") + six + ", MTU " + show(network, "mtu");
}

// Appends a column where the network has an IPv6 prefix; its number.
std::size_t put_ip6(const json& members, Rows& rows) {
  const std::size_t column = rows[0].size();
  if (std::ranges::none_of(members, [](const json& m) { return m.contains("address6"); })) return column;
  rows[0].emplace_back("IPV6");
  for (std::size_t i = 0; i < members.size(); ++i) rows[i + 1].push_back(show(members[i], "address6"));
  return column;
}

// What distinguishes a member of the server from the usual one.
std::string state_of(const json& member) {
  std::vector<std::string> parts;
  if (is_false(member, "signed")) {
    parts.emplace_back("not signed");
  } else if (is_false(member, "allowed_signed")) {
    parts.emplace_back("allowed, not signed");
  }
  const std::string left = age(member, "expires_in_seconds");
  if (flag(member, "ephemeral")) parts.emplace_back("ephemeral");
  if (left != "-") parts.push_back("removed in " + left);
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out.empty() ? "-" : out;
}

// Appends a column where there is anything to say in it.
void put_states(const json& members, Rows& rows) {
  if (std::ranges::all_of(members, [](const json& m) { return state_of(m) == "-"; })) return;
  rows[0].emplace_back("STATE");
  for (std::size_t i = 0; i < members.size(); ++i) rows[i + 1].push_back(state_of(members[i]));
}

json list(const json& status, const char* field) {
  const auto it = status.find(field);
  return it != status.end() && it->is_array() ? *it : json::array();
}

std::string path_of(const json& peer) {
  if (flag(peer, "refused")) return "refused";
  return show(peer, "path") + (flag(peer, "over_tcp") ? " over TCP" : "");
}

std::string peer_counts(const json& status) {
  std::size_t total = 0, online = 0, direct = 0, relayed = 0, refused = 0;
  for (const json& peer : list(status, "peers")) {
    ++total;
    online += flag(peer, "online") ? 1 : 0;
    direct += show(peer, "path") == "direct" ? 1 : 0;
    relayed += show(peer, "path") == "relayed" ? 1 : 0;
    refused += flag(peer, "refused") ? 1 : 0;
  }
  return std::to_string(total) + ", " + std::to_string(online) + " online; " + std::to_string(direct) + " direct, " +
         std::to_string(relayed) + " relayed" + (refused == 0 ? "" : "; " + std::to_string(refused) + " refused");
}

std::string lock_line(const json& lock) {
  if (!flag(lock, "on")) return "has ended";
  return "on, " + show(lock, "id") + ", " + counted(list(lock, "signers").size(), "signer") +
         (flag(lock, "waits") ? "; this computer waits to be signed" : "");
}

std::string policy_line(const json& policy) {
  std::uint64_t dropped = 0;
  for (const json& rule : list(policy, "dropped")) dropped += rule.value("packets", std::uint64_t{0});
  std::string trouble = show(policy, "trouble");
  if (trouble != "-") return trouble;
  const auto rules = policy.value("rules", std::size_t{0});
  return counted(rules, "rule") + ", dropped " + counted(dropped, "frame");
}

std::string names(const json& list) {
  std::string out;
  for (const json& name : list) {
    if (name.is_string()) out += (out.empty() ? "" : ", ") + name.get<std::string>();
  }
  return out;
}

std::string offloads_line(const json& status) {
  const json offloads = part(status, "offloads");
  const std::string used = names(list(offloads, "used")), missing = names(list(offloads, "missing"));
  return (used.empty() ? "none" : used) + (missing.empty() ? "" : "; not in this kernel: " + missing);
}

void mapping_rows(const json& status, Rows& rows) {
  for (const json& mapping : list(status, "port_mappings")) {
    if (!mapping.is_object()) continue;
    rows.push_back({"router", show(mapping, "transport") + " " + show(mapping, "external_endpoint") +
                                  " forwarded to us by " + show(mapping, "method")});
  }
}

std::string client_text(const json& status) {
  const json server = part(status, "server");
  const std::string endpoint = show(server, "endpoint"), note = show(server, "note");
  std::string link = flag(server, "connected") ? "connected to " + endpoint : "not connected";
  if (!flag(server, "connected") && endpoint != "-" && note.find(endpoint) == std::string::npos) {
    link += "; last tried " + endpoint;
  }
  if (note != "-") link += ": " + note;
  Rows rows = {
      {"eps-client", show(status, "version") + ", up " + age(status, "uptime_seconds")},
      {"name", show(status, "name")},
      {"address", show(status, "address") + (status.contains("address6") ? ", " + show(status, "address6") : "") +
                      (flag(part(status, "lock"), "waits") ? " when it is signed, on " : " on ") +
                      show(status, show(status, "address_device") == "-" ? "device" : "address_device")},
      {"MAC", show(status, "mac")},
      {"network", network_line(status)},
      {"server", link},
      {"UDP port", show(status, "data_port") + (flag(status, "relay_over_tcp")
                                                    ? ", not answered by the server: relayed over TCP"
                                                    : ", seen by the server as " + show(status, "observed_endpoint"))},
      {"NAT",
       "mapping " + show(part(status, "nat"), "mapping") + ", filtering " + show(part(status, "nat"), "filtering")},
      {"offloads", offloads_line(status)},
      {"peers", peer_counts(status)}};
  if (const json policy = part(status, "policy"); !policy.empty()) rows.push_back({"policy", policy_line(policy)});
  if (const json lock = part(status, "lock"); !lock.empty()) {
    rows.push_back({"network lock", lock_line(lock)});
  }
  mapping_rows(status, rows);
  traffic_rows(status, rows);
  return columns(rows);
}

std::string server_text(const json& status) {
  const json members = list(status, "members");
  const auto online = std::ranges::count_if(members, [](const json& m) { return flag(m, "online"); });
  Rows rows = {{"eps-server", show(status, "version") + ", up " + age(status, "uptime_seconds")},
               {"network", network_line(status)},
               {"port", show(status, "port") + " (TCP and UDP)"},
               {"offloads", offloads_line(status)},
               {"members", std::to_string(members.size()) + ", " + std::to_string(online) + " online"},
               {"connections", show(status, "connections_established") + " since the start"}};
  mapping_rows(status, rows);
  traffic_rows(status, rows);
  return columns(rows);
}

}  // namespace

std::string status_text(const json& status) {
  return show(status, "program") == "eps-server" ? server_text(status) : client_text(status);
}

std::string peers_text(const json& status, std::size_t width) {
  const json peers = list(status, "peers");
  if (peers.empty()) return "No other member.\n";
  constexpr std::size_t kMac = 2, kEndpoint = 4, kHandshake = 5, kRoundTrip = 6, kMtu = 7, kSent = 8, kReceived = 9;
  Rows rows = {{"NAME", "ADDRESS", "MAC", "PATH", "ENDPOINT", "HANDSHAKE", "RTT", "MTU", "SENT", "RECEIVED"}};
  for (const json& peer : peers) {
    const json traffic = part(peer, "traffic");
    const auto rtt = peer.find("round_trip_ms");
    const std::string handshake = age(peer, "last_handshake_seconds");
    rows.push_back(
        {show(peer, "name"), show(peer, "address"), show(peer, "mac"),
         flag(peer, "online") || flag(peer, "refused") || show(peer, "path") != "none" ? path_of(peer) : "offline",
         show(peer, "endpoint"), handshake == "-" ? handshake : handshake + " ago",
         rtt != peer.end() && rtt->is_number() ? decimals(rtt->get<double>(), 1) + " ms" : "-", show(peer, "path_mtu"),
         amount(traffic, "sent"), amount(traffic, "received")});
  }
  const std::size_t ip6 = put_ip6(peers, rows);
  return columns(rows, width, {ip6, kMac, kHandshake, kReceived, kSent, kMtu, kEndpoint, kRoundTrip});
}

std::string members_text(const json& status, std::size_t width) {
  const json members = list(status, "members");
  if (members.empty()) return "No member yet.\n";
  const bool not_signed = std::ranges::any_of(members, [](const json& m) { return is_false(m, "allowed_signed"); });
  constexpr std::size_t kMac = 2, kLastSeen = 4, kFrom = 5, kUdp = 6, kRelayed = 7, kVersion = 8;
  Rows rows = {{"NAME", "ADDRESS", "MAC", "ONLINE", "LAST SEEN", "FROM", "UDP", "RELAYED", "VERSION"}};
  for (const json& member : members) {
    rows.push_back({show(member, "name"), show(member, "address"), show(member, "mac"),
                    flag(member, "online") ? "yes" : "no", last_seen(member), show(member, "control_endpoint"),
                    flag(member, "over_tcp") ? "over TCP" : show(member, "data_endpoint"),
                    human_bytes(number(part(member, "relayed"), "bytes_forwarded")), show(member, "version")});
  }
  const std::size_t ip6 = put_ip6(members, rows);
  put_states(members, rows);
  return columns(rows, width, {ip6, kMac, kVersion, kUdp, kRelayed, kFrom, kLastSeen}) +
         (not_signed ? "\nOn a computer that holds a key of the network lock: eps lock sign NAME, or --all\n" : "");
}

std::string decimals(double value, int digits) {
  std::array<char, 64> text{};
  const auto done = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, digits);
  return done.ec == std::errc{} ? std::string(text.data(), done.ptr) : "-";
}

std::string why_text(const json& why, std::size_t width) {
  const json peer = part(why, "peer");
  const std::string path = show(peer, "path");
  const auto round_trip = [](const json& of) {
    const auto it = of.find("round_trip_ms");
    return it != of.end() && it->is_number() ? decimals(it->get<double>(), 1) + " ms" : std::string("-");
  };
  std::string out = show(peer, "name") + " (" + show(peer, "address") + ") ";
  if (flag(peer, "refused")) {
    out += "is refused.\n";
  } else if (path == "none") {
    out += "has no path.\n";
  } else {
    out += std::string("is reached ") + (path == "direct" ? "directly" : "through a relay") + " at " +
           show(peer, "endpoint") + ", round trip " + round_trip(peer) +
           (show(peer, "path_mtu") == "-" ? "" : ", path MTU " + show(peer, "path_mtu")) +
           // While nothing is sent, nobody looks whether it still works.
           (number(peer, "last_heard_seconds") < kLongSilent
                ? ""
                : ", last heard " + age(peer, "last_heard_seconds") + " ago") +
           ".\n";
  }
  for (const char* sentence : {"why_relayed", "how_to_mend"}) {
    if (show(peer, sentence) != "-") out += show(peer, sentence) + "\n";
  }
  for (const json& sentence : list(peer, "policy_drops")) {
    if (sentence.is_string()) out += sentence.get<std::string>() + "\n";
  }
  const json nat = part(why, "nat");
  out += "\nNAT here: mapping " + show(nat, "mapping") + ", filtering " + show(nat, "filtering") + "; there: mapping " +
         show(peer, "nat") + "\n\n";
  constexpr std::size_t kKnownAs = 2, kHeard = 6, kLastAnswer = 7;
  Rows rows = {{"", "WAY", "KNOWN AS", "RTT", "PINGS", "ANSWERED", "HEARD", "LAST ANSWER"}};
  for (const json& way : list(why, "ways")) {
    rows.push_back({flag(way, "in_use") ? "*" : "", show(way, "way"), show(way, "origin"), round_trip(way),
                    show(way, "pings"), show(way, "pongs"), show(way, "heard"), age(way, "since_answer_seconds")});
  }
  out = folded(out, width) + columns(rows, width, {kKnownAs, kHeard, kLastAnswer}) + "\n";
  std::string events;
  for (const json& event : list(why, "events")) {
    const auto ago = event.find("seconds_ago");
    const double seconds = ago != event.end() && ago->is_number() ? ago->get<double>() : 0;
    events += decimals(seconds, 1) + " s ago: " + show(event, "what") + "\n";
  }
  return out + folded(events, width);
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  static constexpr std::array<const char*, 6> kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  // 999.5 would be shown as 1000.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return decimals(value, digits) + " " + kUnits[unit];
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string human_duration(std::uint64_t seconds) {
  struct Unit {
    std::uint64_t seconds;
    const char* name;
  };
  static constexpr std::array<Unit, 4> kUnits = {{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    if (seconds < kUnits[i].seconds) continue;
    const std::uint64_t rest = seconds % kUnits[i].seconds / kUnits[i + 1].seconds;
    std::string out = std::to_string(seconds / kUnits[i].seconds) + " " + kUnits[i].name;
    return rest == 0 ? out : out + " " + std::to_string(rest) + " " + kUnits[i + 1].name;
  }
  return std::to_string(seconds) + " s";
}

std::string columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - width_of(row[i]) + 2, ' ');
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string columns(std::vector<std::vector<std::string>> rows, std::size_t width,
                    std::vector<std::size_t> dispensable) {
  const auto longest = [](const std::string& table) {
    std::size_t out = 0;
    for (std::size_t at = 0; at < table.size();) {
      const std::size_t end = std::min(table.find('\n', at), table.size());
      out = std::max(out, width_of(std::string_view(table).substr(at, end - at)));
      at = end + 1;
    }
    return out;
  };
  std::string out = columns(rows);
  if (width == 0) return out;
  for (std::size_t n = 0; n < dispensable.size() && longest(out) > width; ++n) {
    const std::size_t column = dispensable[n];
    for (auto& row : rows) {
      if (column < row.size()) row.erase(row.begin() + static_cast<std::ptrdiff_t>(column));
    }
    // What stood behind it has moved up.
    for (std::size_t& other : dispensable) other -= other > column ? 1 : 0;
    out = columns(rows);
  }
  if (longest(out) <= width) return out;
  std::string cut;
  for (std::size_t at = 0; at < out.size();) {
    const std::size_t end = std::min(out.find('\n', at), out.size());
    cut += shortened(std::string_view(out).substr(at, end - at), width) + "\n";
    at = end + 1;
  }
  return cut;
}

std::string folded(std::string_view text, std::size_t width) {
  if (width == 0) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
    const std::size_t gap = line.find("  ", begin);
    std::size_t indent = gap == std::string_view::npos ? line.size() : line.find_first_not_of(' ', gap);
    // A wide left column would leave no room for the right one.
    if (indent == std::string_view::npos || indent * 2 > width) indent = std::min(begin + 2, width / 4);
    while (width_of(line) > width) {
      // The last blank that fits, but not one of the indentation.
      std::size_t at = line.rfind(' ', width);
      if (at == std::string_view::npos || at <= indent) at = line.find(' ', indent + 1);
      if (at == std::string_view::npos) break;
      const std::size_t last = line.find_last_not_of(' ', at);
      out.append(line, 0, last + 1).append("\n");
      const std::size_t next = line.find_first_not_of(' ', at);
      const std::string rest = next == std::string::npos ? "" : line.substr(next);
      // A word that is too long to stand below the right column, as an IPv6 address, begins further left.
      const std::size_t word = width_of(std::string_view(rest).substr(0, rest.find(' ')));
      line = std::string(rest.empty() ? 0 : std::min(indent, width - std::min(word, width)), ' ') + rest;
    }
    out.append(line).append("\n");
  }
  return out;
}

}  // namespace eps::report
