// SPDX-License-Identifier: MIT
#include "report/diagnosis.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "model/drop_reason.h"
#include "report/text.h"

namespace eps::report {
namespace {

using nlohmann::json;
using Level = Finding::Level;

// Text of a field, or "" when it is missing, null or something else.
std::string text(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}
bool flag(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_boolean() && it->get<bool>();
}
std::uint64_t number(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_number_integer() && *it > 0 ? it->get<std::uint64_t>() : 0;
}
json part(const json& object, const char* field) {
  const auto it = object.find(field);
  return it != object.end() && it->is_object() ? *it : json::object();
}
std::vector<json> objects(const json& object, const char* field) {
  std::vector<json> out;
  const auto it = object.find(field);
  if (it == object.end() || !it->is_array()) return out;
  std::ranges::copy_if(*it, std::back_inserter(out), [](const json& j) { return j.is_object(); });
  return out;
}

class Doctor {
 public:
  Doctor(const json& status, std::string_view tool_version, const json* earlier)
      : status_(status), tool_version_(tool_version), earlier_(earlier) {}

  std::vector<Finding> client() {
    version();
    const json server = part(status_, "server");
    const std::string endpoint = text(server, "endpoint");
    const std::string note = text(server, "note");
    if (flag(server, "connected") && !note.empty()) {
      warning("Connected to the server at " + endpoint + ", but " + note + ".",
              "If it lasts: is the server running, and its TCP port open in every firewall between?");
    } else if (flag(server, "connected")) {
      ok("Connected to the server at " + endpoint + (flag(server, "tls") ? " inside TLS" : "") + " and admitted as " +
         text(status_, "name") + " with " + text(status_, "address") + ".");
      if (const std::string theirs = text(server, "version"); !theirs.empty() && theirs != text(status_, "version")) {
        warning("The server runs version " + theirs + ", this computer " + text(status_, "version") + ".",
                "Update the older one.");
      }
      udp(endpoint);
    } else {
      // A message of the server itself has several sentences, including the remedy.
      const bool says_more = note.find(". ") != std::string::npos;
      const bool names_it = endpoint.empty() || note.find(endpoint) != std::string::npos;
      problem("Not connected to the server" + (names_it ? "" : " at " + endpoint) + ": " + note + ".",
              says_more ? ""
                        : "Is the server running, its TCP port open in every firewall in between, the option server "
                          "correct, and the key what eps key prints there?");
    }
    for (const json& trouble : status_.value("troubles", json::array())) {
      if (trouble.is_string()) warning(trouble.get<std::string>(), "");
    }
    peers();
    sizes();
    const auto lan = objects(status_, "findings");
    for (const json& f : lan) warning(text(f, "what"), text(f, "mend"));
    drops();
    return std::move(findings_);
  }

  std::vector<Finding> server() {
    version();
    const auto members = objects(status_, "members");
    const auto online = std::ranges::count_if(members, [](const json& m) { return flag(m, "online"); });
    ok("Serving " + text(part(status_, "network"), "address") + " on port " + std::to_string(number(status_, "port")) +
       ": " + counted(members.size(), "member") + ", " + std::to_string(online) + " online.");
    for (const json& trouble : status_.value("troubles", json::array())) {
      if (trouble.is_string()) problem(trouble.get<std::string>(), "");
    }
    sizes();
    room(members);
    signatures(members);
    for (const json& m : members) {
      if (const std::string copy = text(m, "copy_at"); !copy.empty()) {
        problem(
            text(m, "name") + " exists twice: another computer, at " + copy + ", comes with the same key.",
            "Its state directory was copied. On one of the two, move it away and start eps-client again: it joins as "
            "a new member.");
      }
      if (flag(m, "online") && flag(m, "over_tcp")) {
        warning("The UDP of " + text(m, "name") + " does not arrive here: it is relayed over TCP, more slowly.",
                "Allow UDP to port " + std::to_string(number(status_, "port")) + " in every firewall between.");
      } else if (flag(m, "online") && text(m, "data_endpoint").empty()) {
        problem(text(m, "name") + " is connected, but its UDP does not arrive here: nothing can be relayed for it.",
                "Allow UDP to port " + std::to_string(number(status_, "port")) + " in every firewall between.");
      }
      if (flag(m, "floods")) {
        warning(text(m, "name") +
                    " changes its endpoints all the time: " + counted(number(m, "endpoint_changes_held"), "change") +
                    " had to wait; the others hear of one a second.",
                "Check its network, and what runs there in place of eps-client; eps members remove excludes it.");
      }
      if (flag(m, "relay_limited")) {
        warning(text(m, "name") + " sends more through the relay here than " + text(status_, "relay_limit") + ": " +
                    counted(number(m, "relay_limit_drops"), "packet") + " dropped so far.",
                "Raise relay-limit, or look for what keeps it from direct paths: eps why NAME on it.");
      }
      if (const std::string v = text(m, "version"); !v.empty() && v != text(status_, "version") && flag(m, "online")) {
        warning(text(m, "name") + " runs version " + v + ", the server " + text(status_, "version") + ".",
                "Update the older one.");
      }
    }
    for (const json& p : objects(status_, "pairs")) {
      // Packets lost long ago, or while the receiver was switched off, say nothing about now.
      const auto is_online = [&](const char* end) {
        const auto it = std::ranges::find(members, text(p, end), [](const json& m) { return text(m, "name"); });
        return it != members.end() && flag(*it, "online");
      };
      if (flag(p, "contradicts")) {
        warning("The reports of " + text(p, "from") + " and " + text(p, "to") +
                    " contradict each other: " + text(p, "to") + " received more than " + text(p, "from") + " sent.",
                "One of the two counts wrongly, restarts all the time, or does not tell the truth: do not trust their "
                "traffic figures.");
      }
      const std::uint64_t sent = number(p, "recent_packets_sent"), got = number(p, "recent_packets_received");
      if (!is_online("from") || !is_online("to")) continue;
      if (sent < kEnoughPackets || got >= sent || (sent - got) * 100 < sent * kMuchLoss) continue;
      warning("Of the last " + std::to_string(sent) + " packets from " + text(p, "from") + " to " + text(p, "to") +
                  " only " + std::to_string(got) + " arrived.",
              "The network between them loses packets, or one of them is overloaded; the other direction is counted "
              "separately.");
    }
    drops();
    return std::move(findings_);
  }

 private:
  static constexpr std::uint64_t kEnoughPackets = 100;  // to judge loss
  static constexpr std::uint64_t kMuchLoss = 2;         // per cent
  static constexpr std::uint64_t kFewPackets = 5;       // few enough to come from a restart or a lost frame

  void add(Level level, std::string what, std::string mend = "") {
    findings_.push_back({level, std::move(what), std::move(mend)});
  }
  void ok(std::string what) { add(Level::ok, std::move(what)); }
  void warning(std::string what, std::string mend) { add(Level::warning, std::move(what), std::move(mend)); }
  void problem(std::string what, std::string mend) { add(Level::problem, std::move(what), std::move(mend)); }

  void version() {
    const std::string running = text(status_, "version");
    if (running == tool_version_) return ok(text(status_, "program") + " " + running + " runs.");
    warning(text(status_, "program") + " " + running + " runs, but the installed version is " + tool_version_ + ".",
            "Restart it.");
  }

  void udp(const std::string& endpoint) {
    const std::string seen = text(status_, "observed_endpoint");
    if (flag(status_, "relay_over_tcp")) {
      return warning("The server does not answer on UDP: what is relayed goes through the TCP connection, more slowly.",
                     "Allow UDP to " + endpoint + " in every firewall between, and out of this computer.");
    }
    if (seen.empty()) {
      return problem("The server does not answer on UDP: nothing can be relayed, and peers do not find this computer.",
                     "Allow UDP to " + endpoint + " in every firewall between, and out of this computer.");
    }
    const json nat = part(status_, "nat");
    ok("UDP reaches the server, which sees this computer as " + seen + ".");
    const auto mappings = objects(status_, "port_mappings");
    if (text(nat, "mapping") == "per destination" && mappings.empty()) {
      warning(
          "The NAT in front of this computer makes a new mapping for each destination, which peers can rarely "
          "traverse.",
          "Switch on UPnP or NAT-PMP in the router, or forward UDP port " +
              std::to_string(number(status_, "data_port")) + " to the same port of this computer there.");
    } else if (const std::string mapping = text(nat, "mapping"); !mapping.empty() && mapping != "unknown") {
      ok("NAT: mapping " + text(nat, "mapping") + ", filtering " + text(nat, "filtering") + ".");
    }
    for (const json& m : mappings) {
      ok("The router forwards " + text(m, "external_endpoint") + " to this computer, by " + text(m, "method") + ".");
    }
  }

  void peers() {
    std::size_t direct = 0;
    for (const json& p : objects(status_, "peers")) {
      direct += text(p, "path") == "direct" ? 1 : 0;
      const std::string why = text(p, "why_relayed"), mend = text(p, "how_to_mend");
      if (flag(p, "refused")) problem(text(p, "name") + " is refused. " + why, mend);
      if (flag(p, "unreachable")) {
        problem(
            text(p, "name") + " is online, but has no path: packets to it are lost." + (why.empty() ? "" : " " + why),
            mend.empty() ? "eps why " + text(p, "name") + " shows what was tried; look at eps doctor there, too."
                         : mend);
      }
      if (text(p, "path") != "relayed") continue;
      warning(text(p, "name") + " is reached through a relay." + (why.empty() ? "" : " " + why), mend);
    }
    std::map<std::uint64_t, std::string> by_mtu;
    for (const json& p : objects(status_, "peers")) {
      const std::uint64_t mtu = number(p, "path_mtu");
      if (mtu > 0) by_mtu[mtu] += (by_mtu.contains(mtu) ? ", " : "") + text(p, "name");
    }
    for (const auto& [mtu, names] : by_mtu) {
      ok("Packets of " + std::to_string(mtu) + " bytes pass on the path to " + names + "; larger frames are cut.");
    }
    std::uint64_t frames = 0;
    for (const json& rule : objects(part(status_, "policy"), "dropped")) frames += number(rule, "packets");
    if (frames > 0) {
      ok("The network's policy dropped " + counted(frames, "frame") +
         " here: eps policy show says by which rule, and eps why NAME what concerns a member.");
    }
    if (direct > 0) ok(std::to_string(direct) + (direct == 1 ? " peer is" : " peers are") + " reached directly.");
  }

  void sizes() {
    const std::uint64_t mtu = number(part(status_, "network"), "mtu");
    if (mtu == 0 || mtu >= kMinIp6Mtu) return;
    warning("There is no IPv6 inside the network: its MTU is " + std::to_string(mtu) + ", and IPv6 needs " +
                std::to_string(kMinIp6Mtu) + ".",
            "Start eps-server without --mtu: larger frames are cut to what a path takes.");
  }

  void room(const std::vector<json>& members) {
    const auto network = parse_ip4_network(text(part(status_, "network"), "address"));
    if (!network || network->prefix > 30) return;
    const std::uint64_t places = (std::uint64_t{1} << (32 - network->prefix)) - 2;
    if (members.size() * 10 < places * 9) return;
    // Ask first about the member that was away longest.
    const json* oldest = nullptr;
    for (const json& m : members) {
      if (flag(m, "online") || number(m, "last_seen") == 0) continue;
      if (oldest == nullptr || number(m, "last_seen") < number(*oldest, "last_seen")) oldest = &m;
    }
    const std::string who = oldest == nullptr ? ""
                                              : " " + text(*oldest, "name") + " was last seen " +
                                                    human_duration(number(*oldest, "last_seen_seconds")) + " ago.";
    const std::string full = std::to_string(members.size()) + " of the " + std::to_string(places) + " addresses of " +
                             to_string(*network) + " are in use." + who;
    const std::string mend =
        "Remove members that are gone for good: eps members shows when each was last seen, eps members remove "
        "NAME frees its address; or start eps-server with a larger --network.";
    const char* only = " A new computer can join only by displacing one that has been away for long.";
    members.size() >= places ? problem(full + only, mend) : warning(full, mend);
  }

  // What the network lock does not cover: the policy, records, or grants alone.
  void signatures(const std::vector<json>& members) {
    constexpr std::size_t kNamed = 8;
    const auto lacks = [](const json& m, const char* field) { return m.contains(field) && m[field] == json(false); };
    if (lacks(status_, "policy_signed")) {
      warning(
          "The policy, or that there is none any more, is not signed by the network lock: the members follow the one "
          "that was signed last, or, if none was ever signed, this one already.",
          "eps policy show shows it; where a key of the lock is: eps lock sign --policy");
    }
    for (const bool record : {true, false}) {
      std::vector<std::string> names;
      for (const json& m : members) {
        if (lacks(m, "allowed_signed") && lacks(m, "signed") == record) names.push_back(text(m, "name"));
      }
      if (names.empty()) continue;
      std::string listed;
      for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i) listed += (i == 0 ? "" : ", ") + names[i];
      if (names.size() > kNamed) listed += " and " + std::to_string(names.size() - kNamed) + " more";
      warning((record ? "Not signed by the network lock, so the others refuse them: "
                      : "Their permissions are not signed by the network lock, so these members may use only their "
                        "own addresses: ") +
                  listed + ".",
              "On a computer that holds a key of the lock: eps lock sign " +
                  (names.size() == 1 ? names[0] : std::string("--all")));
    }
  }

  void drops() {
    const json reasons = part(status_, "drops"), before = earlier_ == nullptr ? json() : part(*earlier_, "drops");
    const std::uint64_t minutes = std::max<std::uint64_t>(number(status_, "uptime_seconds") / 60, 1);
    for (const DropReason& reason : drop_reasons()) {
      const std::uint64_t n = number(reasons, reason.name);
      if (n == 0 || reason.telling == DropReason::Telling::never) continue;
      const std::uint64_t grown = earlier_ == nullptr ? 0 : n - std::min(n, number(before, reason.name));
      const bool often = n >= kFewPackets && n >= minutes * reason.a_minute;
      const bool tell = reason.telling == DropReason::Telling::always || often || grown >= kFewPackets;
      if (!tell) continue;
      const std::string now = grown > 0 ? ", " + std::to_string(grown) + " of them just now" : "";
      warning(counted(n, "packet") + " dropped as " + reason.name + now + ": " + reason.meaning + ".", reason.advice);
    }
  }

  const json& status_;
  const std::string tool_version_;
  const json* earlier_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string_view name_of(Finding::Level level) {
  switch (level) {
    case Level::ok:
      return "ok";
    case Level::warning:
      return "warning";
    case Level::problem:
      break;
  }
  return "problem";
}

std::vector<Finding> diagnose(const json& status, std::string_view tool_version, const json* earlier) {
  Doctor doctor(status, tool_version, earlier);
  return text(status, "program") == "eps-server" ? doctor.server() : doctor.client();
}

std::vector<Finding> unit_findings(std::string_view shown) {
  std::vector<Finding> out;
  std::map<std::string, std::string> unit;
  const auto judge = [&] {
    const std::string id = unit["Id"];
    if (unit["ActiveState"] == "failed") {
      out.push_back(
          {Level::problem,
           "The service " + id + " has failed (" + unit["Result"] + ", exit status " + unit["ExecMainStatus"] + ").",
           "journalctl -u " + id + " says why; then: sudo systemctl restart " + id});
    } else if (unit["ActiveState"] == "activating" && unit["SubState"] == "auto-restart") {
      out.push_back({Level::problem, "The service " + id + " keeps ending and is restarted each time.",
                     "journalctl -u " + id + " says why."});
    } else if (unit["UnitFileState"] == "enabled" && unit["ActiveState"] == "inactive") {
      out.push_back(
          {Level::warning, "The service " + id + " is enabled, but does not run.", "sudo systemctl start " + id});
    }
    unit.clear();
  };
  while (!shown.empty()) {
    const std::string_view line = shown.substr(0, shown.find('\n'));
    shown.remove_prefix(std::min(shown.size(), line.size() + 1));
    // Units are separated by a blank line.
    if (line.empty()) judge();
    if (const auto at = line.find('='); at != std::string_view::npos) {
      unit[std::string(line.substr(0, at))] = line.substr(at + 1);
    }
  }
  judge();
  return out;
}

std::string findings_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& f : findings) {
    std::string level(name_of(f.level));
    level.resize(9, ' ');
    out += level + f.what + "\n";
    if (!f.mend.empty()) out += std::string(9, ' ') + f.mend + "\n";
  }
  return out;
}

json findings_json(const std::vector<Finding>& findings) {
  json out = json::array();
  for (const Finding& f : findings) {
    out.push_back(
        {{"level", name_of(f.level)}, {"what", f.what}, {"mend", f.mend.empty() ? json(nullptr) : json(f.mend)}});
  }
  return out;
}

Level worst(const std::vector<Finding>& findings) {
  Level out = Level::ok;
  for (const Finding& f : findings) out = std::max(out, f.level);
  return out;
}

}  // namespace eps::report
