#include "report/watch.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "report/text.h"

namespace eps::report {
namespace {

using nlohmann::json;

std::string text(const json& object, const char* field) {
  const auto it = object.find(field);
  if (it == object.end() || !it->is_string() || it->get<std::string>().empty()) return "-";
  return it->get<std::string>();
}

std::uint64_t number(const json& object, const char* group, const char* field) {
  const auto it = object.find(group);
  if (it == object.end() || !it->is_object()) return 0;
  const auto value = it->find(field);
  return value != it->end() && value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
}

// By name, in the order of the names.
std::map<std::string, json> by_name(const json& status, const char* field) {
  std::map<std::string, json> out;
  const auto it = status.find(field);
  if (it == status.end() || !it->is_array()) return out;
  for (const json& entry : *it) {
    if (entry.is_object()) out[text(entry, "name")] = entry;
  }
  return out;
}

class Watch {
 public:
  explicit Watch(double seconds) : seconds_(seconds) {}

  std::string rate(const json& before, const json& now, const char* group, const char* field) const {
    const std::uint64_t was = number(before, group, field), is = number(now, group, field);
    return human_bytes(is > was ? static_cast<std::uint64_t>(static_cast<double>(is - was) / seconds_) : 0) + "/s";
  }

  std::string client(const json& before, const json& now) const {
    std::vector<std::vector<std::string>> rows = {{"NAME", "ADDRESS", "PATH", "RTT", "OUT", "IN", "ENDPOINT"}};
    const auto earlier = by_name(before, "peers");
    for (const auto& [name, peer] : by_name(now, "peers")) {
      const auto was = earlier.find(name);
      const json& old = was == earlier.end() ? peer : was->second;
      const bool online = peer.value("online", json(false)) == json(true);
      const auto rtt = peer.find("round_trip_ms");
      rows.push_back({name, text(peer, "address"),
                      online || text(peer, "path") != "none" ? text(peer, "path") : "offline",
                      rtt != peer.end() && rtt->is_number() ? decimals(rtt->get<double>(), 1) + " ms" : "-",
                      rate(old, peer, "traffic", "bytes_sent"), rate(old, peer, "traffic", "bytes_received"),
                      text(peer, "endpoint")});
    }
    return text(now, "name") + "  out " + rate(before, now, "traffic", "bytes_sent") + ", in " +
           rate(before, now, "traffic", "bytes_received") + "\n\n" + columns(rows);
  }

  std::string server(const json& before, const json& now) const {
    std::vector<std::vector<std::string>> rows = {{"NAME", "ADDRESS", "ONLINE", "RELAYED FROM", "RELAYED TO", "UDP"}};
    const auto earlier = by_name(before, "members");
    for (const auto& [name, member] : by_name(now, "members")) {
      const auto was = earlier.find(name);
      const json& old = was == earlier.end() ? member : was->second;
      rows.push_back({name, text(member, "address"), member.value("online", json(false)) == json(true) ? "yes" : "no",
                      rate(old, member, "relayed", "bytes_forwarded"), rate(old, member, "relayed", "bytes_sent"),
                      text(member, "data_endpoint")});
    }
    return "server  relayed " + rate(before, now, "traffic", "bytes_forwarded") + "\n\n" + columns(rows);
  }

 private:
  double seconds_;
};

}  // namespace

std::string watch_text(const json& before, const json& now, double seconds) {
  const Watch watch(seconds);
  return text(now, "program") == "eps-server" ? watch.server(before, now) : watch.client(before, now);
}

}  // namespace eps::report
