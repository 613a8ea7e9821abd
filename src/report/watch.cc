// SPDX-License-Identifier: MIT
#include "report/watch.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>
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
  Watch(double seconds, std::size_t width, std::size_t height) : seconds_(seconds), width_(width), height_(height) {}

  static std::uint64_t grown(const json& before, const json& now, const char* group, const char* field) {
    const std::uint64_t was = number(before, group, field), is = number(now, group, field);
    return is - std::min(is, was);
  }
  std::string rate(const json& before, const json& now, const char* group, const char* field) const {
    return human_bytes(static_cast<std::uint64_t>(static_cast<double>(grown(before, now, group, field)) / seconds_)) +
           "/s";
  }

  std::string client(const json& before, const json& now) {
    std::vector<std::vector<std::string>> rows = {{"NAME", "ADDRESS", "PATH", "RTT", "OUT", "IN", "ENDPOINT"}};
    const auto earlier = by_name(before, "peers");
    for (const auto& [name, peer] : by_name(now, "peers")) {
      const auto was = earlier.find(name);
      const json& old = was == earlier.end() ? peer : was->second;
      const bool online = peer.value("online", json(false)) == json(true);
      const auto rtt = peer.find("round_trip_ms");
      busy_.push_back(grown(old, peer, "traffic", "bytes_sent") + grown(old, peer, "traffic", "bytes_received"));
      rows.push_back({name, text(peer, "address"),
                      peer.value("refused", false)             ? "refused"
                      : online || text(peer, "path") != "none" ? text(peer, "path")
                                                               : "offline",
                      rtt != peer.end() && rtt->is_number() ? decimals(rtt->get<double>(), 1) + " ms" : "-",
                      rate(old, peer, "traffic", "bytes_sent"), rate(old, peer, "traffic", "bytes_received"),
                      text(peer, "endpoint")});
    }
    return text(now, "name") + "  out " + rate(before, now, "traffic", "bytes_sent") + ", in " +
           rate(before, now, "traffic", "bytes_received") + "\n\n" + table(std::move(rows), {6, 3, 1});
  }

  std::string server(const json& before, const json& now) {
    std::vector<std::vector<std::string>> rows = {{"NAME", "ADDRESS", "ONLINE", "RELAYED FROM", "RELAYED TO", "UDP"}};
    const auto earlier = by_name(before, "members");
    for (const auto& [name, member] : by_name(now, "members")) {
      const auto was = earlier.find(name);
      const json& old = was == earlier.end() ? member : was->second;
      busy_.push_back(grown(old, member, "relayed", "bytes_forwarded") + grown(old, member, "relayed", "bytes_sent"));
      rows.push_back({name, text(member, "address"), member.value("online", json(false)) == json(true) ? "yes" : "no",
                      rate(old, member, "relayed", "bytes_forwarded"), rate(old, member, "relayed", "bytes_sent"),
                      text(member, "data_endpoint")});
    }
    return "server  relayed " + rate(before, now, "traffic", "bytes_forwarded") + "\n\n" +
           table(std::move(rows), {5, 1, 2});
  }

 private:
  static constexpr std::size_t kAround = 5;  // lines: above the table, its head, below it, and the cursor's

  std::string table(std::vector<std::vector<std::string>> rows, std::vector<std::size_t> dispensable) const {
    const std::size_t room = height_ > kAround ? height_ - kAround : 1, all = rows.size() - 1;
    std::string rest;
    if (height_ != 0 && all > room) {
      std::vector<std::size_t> order(all);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::ranges::stable_sort(order, [this](std::size_t a, std::size_t b) { return busy_[a] > busy_[b]; });
      std::vector<std::vector<std::string>> shown = {rows[0]};
      for (std::size_t i = 0; i < room; ++i) shown.push_back(std::move(rows[order[i] + 1]));
      rows = std::move(shown);
      rest = "and " + std::to_string(all - room) + " more\n";
    }
    return columns(std::move(rows), width_, std::move(dispensable)) + rest;
  }

  double seconds_;
  std::size_t width_, height_;
  std::vector<std::uint64_t> busy_;  // bytes of each row
};

}  // namespace

std::string watch_text(const json& before, const json& now, double seconds, std::size_t width, std::size_t height) {
  Watch watch(seconds, width, height);
  return text(now, "program") == "eps-server" ? watch.server(before, now) : watch.client(before, now);
}

}  // namespace eps::report
