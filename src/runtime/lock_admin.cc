// SPDX-License-Identifier: MIT
#include "runtime/lock_admin.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace eps::runtime {
namespace {

using nlohmann::json;

template <std::size_t N>
bool take(const json& from, const char* field, std::array<std::byte, N>& to) {
  const auto raw = from_hex(from.value(field, ""));
  if (!raw || raw->size() != N) return false;
  std::ranges::copy(*raw, to.begin());
  return true;
}

bool take(const json& from, const char* field, RareSignature& to) {
  RareSignature::Bytes bytes;
  if (!take(from, field, bytes)) return false;
  to = bytes;
  return true;
}

bool take_entries(const json& from, std::vector<Bytes>& to) {
  for (const json& text : from.value("entries", json::array())) {
    auto entry = from_hex(text.get<std::string>());
    if (!entry || entry->size() > kMaxLockEntry || to.size() >= kMaxLockEntries) return false;
    to.push_back(std::move(*entry));
  }
  return true;
}

json entries_json(const std::vector<Bytes>& entries) {
  json out = json::array();
  for (const Bytes& entry : entries) out.push_back(to_hex(entry));
  return out;
}

bool take_member(const json& from, LockReport::Entry& to) {
  Member& m = to.member;
  m.id.value = from.value("id", 0U);
  m.name = from.value("name", "");
  m.lock.sequence = from.value("sequence", std::uint64_t{0});
  const auto mac = parse_mac(from.value("mac", ""));
  const auto address = parse_ip4(from.value("address", ""));
  if (!mac || !address || !take(from, "key", m.key.bytes) || !valid_name(m.name)) return false;
  m.mac = *mac;
  m.address = *address;
  for (const json& text : from.value("ranges", json::array())) {
    const auto range = parse_ip_network(text.get<std::string>());
    if (!range || m.grants.ranges.size() >= kMaxGrants) return false;
    m.grants.ranges.push_back(*range);
  }
  m.grants.bridge = from.value("bridge", false);
  m.grants.dhcp = from.value("dhcp", false);
  m.groups = from.value("groups", std::vector<std::string>());
  to.standing = {from.value("counts", false), from.value("why", ""), from.value("next_sequence", std::uint64_t{1}),
                 from.value("removed", false)};
  return true;
}

template <class Members, class Standing>
json report_of(const registry::LockChain& chain, const NetworkInfo& network, const Members& members,
               const NetworkPolicy& policy, bool policy_counts, std::uint64_t next_policy_sequence,
               const Standing& standing) {
  json out = {{"ok", true},
              {"network",
               {{"id", to_hex(network.id.bytes)},
                {"range", to_string(network.network)},
                {"base6", to_hex(network.network6.value_or(IpNetwork{}).base.bytes)},
                {"has6", network.network6.has_value()}}},
              {"entries", entries_json(chain.entries())},
              {"policy",
               {{"text", policy.text},
                {"sequence", policy.sequence},
                {"counts", policy_counts},
                {"next_sequence", std::max(next_policy_sequence, policy.sequence + 1)}}},
              {"members", json::array()}};
  for (const auto& [id, m] : members) {
    const LockStanding s = standing(m);
    json ranges = json::array();
    for (const IpNetwork& range : m.grants.ranges) ranges.push_back(to_string(range));
    out["members"].push_back({{"id", id.value},
                              {"name", m.name},
                              {"key", to_hex(m.key.bytes)},
                              {"mac", to_string(m.mac)},
                              {"address", to_string(m.address)},
                              {"ranges", ranges},
                              {"bridge", m.grants.bridge},
                              {"dhcp", m.grants.dhcp},
                              {"groups", m.groups},
                              {"sequence", m.lock.sequence},
                              {"counts", s.counts},
                              {"why", s.why},
                              {"next_sequence", s.next_sequence},
                              {"removed", s.removed}});
  }
  return out;
}

}  // namespace

json lock_report(const node::ClientNode& node) {
  if (!node.network()) return {{"ok", false}, {"error", "eps-client has not joined yet"}};
  const node::LockGuard& lock = node.lock();
  json out = report_of(lock.chain(), *node.network(), node.members().members(), node.members().policy(),
                       lock.takes(node.members().policy()), lock.next_policy_sequence(), [&](const Member& m) {
                         LockStanding standing;
                         standing.next_sequence = std::max(lock.next_sequence(m.id), m.lock.sequence + 1);
                         standing.removed = lock.saw_removal_of(m);
                         const auto refused = lock.refused().find(m.id);
                         if (refused != lock.refused().end()) {
                           standing.why = refused->second.why;
                         } else if (!lock.on() || !lock.admits(*node.network(), m)) {
                           // Only this computer is judged here.
                           if (lock.on())
                             standing.why =
                                 m.lock.sequence == 0 ? "It is not signed." : "It is not signed as it is now.";
                         } else if (lock.own_addresses_only().contains(m.id)) {
                           standing.why = "What the server grants it is not signed.";
                         } else {
                           standing.counts = true;
                         }
                         return standing;
                       });
  if (const auto& answer = node.lock_answer()) {
    out["answer"] = {{"ticket", answer->ticket}, {"done", answer->done}, {"sentence", answer->sentence}};
  }
  return out;
}

json lock_report(const registry::Registry& registry) {
  const registry::LockChain& chain = registry.lock();
  return report_of(chain, registry.network(), registry.members(), registry.policy(),
                   is_policy_signed(chain, registry.policy()), 1, [&](const Member& m) {
                     LockStanding standing;
                     standing.next_sequence = m.lock.sequence + 1;
                     standing.counts = is_record_signed(chain, registry.network(), m) && are_grants_signed(chain, m);
                     if (chain.on() && !standing.counts) {
                       standing.why = m.lock.sequence == 0 ? "It is not signed." : "It is not signed as it is now.";
                     }
                     return standing;
                   });
}

Result<LockReport> read_lock_report(const json& report) {
  LockReport out;
  std::vector<Bytes> entries;
  const json network = report.value("network", json::object());
  const auto range = parse_ip4_network(network.value("range", ""));
  IpNetwork network6{{}, 64};
  bool good = range && take(network, "id", out.network.id.bytes) && take(network, "base6", network6.base.bytes) &&
              take_entries(report, entries);
  if (good) {
    out.network.network = *range;
    if (network.value("has6", false)) out.network.network6 = network6;
    for (const json& m : report.value("members", json::array()))
      good = take_member(m, out.members.emplace_back()) && good;
  }
  if (!good)
    return make_error(Errc::corrupt, "the daemon's answer is not as this version expects: is it another version?");
  const json policy = report.value("policy", json::object());
  out.policy = {policy.value("text", ""), policy.value("sequence", std::uint64_t{0}), {}};
  out.policy_counts = policy.value("counts", false);
  out.next_policy_sequence = policy.value("next_sequence", std::uint64_t{1});
  auto chain = registry::LockChain::of(out.network.id, entries);
  if (!chain) return chain.error();
  out.chain = std::move(*chain);
  return out;
}

json to_json(const LockChange& change) {
  json marks = json::array();
  for (const auto& [id, mark] : change.marks) {
    marks.push_back({{"id", id.value},
                     {"sequence", mark.sequence},
                     {"record", to_hex(mark.record)},
                     {"grants", to_hex(mark.grants)}});
  }
  json out = {{"entries", entries_json(change.entries)}, {"lock", to_hex(change.lock)}, {"marks", marks}};
  if (change.policy_sequence != 0) {
    out["policy"] = {{"sequence", change.policy_sequence}, {"signature", to_hex(change.policy_signature)}};
  }
  return out;
}

std::optional<LockChange> lock_change_of(const json& request) try {
  LockChange out;
  if (!take_entries(request, out.entries) || !take(request, "lock", out.lock)) return std::nullopt;
  for (const json& m : request.value("marks", json::array())) {
    if (out.marks.size() >= kMaxMarksPerChange) return std::nullopt;
    auto& [id, mark] = out.marks.emplace_back();
    id.value = m.value("id", 0U);
    mark.sequence = m.value("sequence", std::uint64_t{0});
    if (mark.sequence == 0 || !take(m, "record", mark.record) || !take(m, "grants", mark.grants)) return std::nullopt;
  }
  if (const json policy = request.value("policy", json()); policy.is_object()) {
    out.policy_sequence = policy.value("sequence", std::uint64_t{0});
    if (out.policy_sequence == 0 || !take(policy, "signature", out.policy_signature)) return std::nullopt;
  }
  return out;
} catch (const json::exception&) {  // a value of another type
  return std::nullopt;
}

}  // namespace eps::runtime
