// SPDX-License-Identifier: MIT
#include "report/pairs.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "report/text.h"

namespace eps::report {
namespace {

using nlohmann::json;

std::uint64_t number(const json& pair, const char* field) {
  const auto it = pair.find(field);
  return it != pair.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::string text(const json& pair, const char* field) {
  const auto it = pair.find(field);
  return it != pair.end() && it->is_string() ? it->get<std::string>() : "-";
}

}  // namespace

std::vector<PairStatus> busiest_pairs(const ServerStatus& status) {
  const std::size_t left = kMostRows - std::min(kMostRows, status.members.size());
  const std::size_t most = std::max(kLeastPairs, left);
  if (status.pairs.size() <= most) return status.pairs;
  std::vector<std::size_t> order(status.pairs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto busier = [&](std::size_t a, std::size_t b) {
    const auto bytes = [&](std::size_t at) { return status.pairs[at].bytes_sent + status.pairs[at].bytes_received; };
    // Those that contradict first, as the doctor tells them.
    return std::tuple(status.pairs[b].contradicts, bytes(b), a) < std::tuple(status.pairs[a].contradicts, bytes(a), b);
  };
  std::ranges::nth_element(order, order.begin() + static_cast<std::ptrdiff_t>(most), busier);
  order.resize(most);
  std::ranges::sort(order);
  std::vector<PairStatus> out;
  out.reserve(most);
  for (const std::size_t at : order) out.push_back(status.pairs[at]);
  return out;
}

json pairs_json(const ServerStatus& status, const std::vector<PairStatus>& pairs) {
  std::unordered_map<MemberId, const Member*> members;
  for (const ServerMemberStatus& m : status.members) members[m.member.id] = &m.member;
  json out = json::array();
  for (const PairStatus& p : pairs) {
    const auto from = members.find(p.from), to = members.find(p.to);
    if (from == members.end() || to == members.end()) continue;
    const json round_trip =
        p.round_trip ? json(std::chrono::duration<double, std::milli>(*p.round_trip).count()) : json(nullptr);
    out.push_back({{"from", from->second->name},
                   {"to", to->second->name},
                   {"path", name_of(p.path)},
                   {"reason", p.reason.empty() ? json(nullptr) : json(p.reason)},
                   {"round_trip_ms", round_trip},
                   {"packets_sent", p.packets_sent},
                   {"bytes_sent", p.bytes_sent},
                   {"packets_received", p.packets_received},
                   {"bytes_received", p.bytes_received},
                   {"packets_lost", p.packets_lost(to->second->online)},
                   {"contradicts", p.contradicts},
                   {"contradictions", p.contradictions},
                   {"recent_packets_sent", p.recent_packets_sent},
                   {"recent_packets_received", p.recent_packets_received}});
  }
  return out;
}

std::string pairs_text(const json& pairs, std::size_t width) {
  if (pairs.empty()) return "No traffic between members yet.\n";
  std::vector<std::vector<std::string>> rows = {{"FROM", "TO", "PATH", "RTT", "SENT", "RECEIVED", "LOST"}};
  for (const json& pair : pairs) {
    const auto rtt = pair.find("round_trip_ms");
    rows.push_back({text(pair, "from"), text(pair, "to"), text(pair, "path"),
                    rtt != pair.end() && rtt->is_number() ? decimals(rtt->get<double>(), 1) + " ms" : "-",
                    human_bytes(number(pair, "bytes_sent")), human_bytes(number(pair, "bytes_received")),
                    std::to_string(number(pair, "packets_lost"))});
  }
  return columns(std::move(rows), width, {3, 5});
}

}  // namespace eps::report
