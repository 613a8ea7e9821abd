// SPDX-License-Identifier: MIT
#include "policy/policy.h"

#include <algorithm>

namespace eps::policy {
namespace {

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool matches(const Service& service, const Opening& opening) {
  const bool icmp6 = service.protocol == kIcmp && opening.protocol == kIcmp6;
  if (service.protocol != opening.protocol && !icmp6) return false;
  if (service.ports.empty()) return true;
  if (!opening.port) return false;
  return std::ranges::any_of(service.ports,
                             [&](const PortRange& r) { return *opening.port >= r.first && *opening.port <= r.last; });
}

bool holds(const std::vector<IpNetwork>& networks, const IpAddress& ip) {
  return std::ranges::any_of(networks, [&](const IpNetwork& network) { return network.contains(ip); });
}

}  // namespace

bool Policy::has_group(std::string_view group) const {
  return std::ranges::find(groups_, group, &Group::name) != groups_.end();
}

bool Policy::is_in(const Subject& subject, std::string_view group) const {
  const auto found = std::ranges::find(groups_, group, &Group::name);
  if (found == groups_.end()) return false;
  return holds(found->members, subject.name) || std::ranges::find(subject.groups, group) != subject.groups.end();
}

bool Policy::selects(const Side& side, const Subject& subject) const {
  return side.all || holds(side.members, subject.name) ||
         std::ranges::any_of(side.groups, [&](const std::string& group) { return is_in(subject, group); });
}

std::string Policy::name_of(std::uint16_t rule) const {
  if (rule >= rules_.size()) return "no rule allows it";
  return "line " + std::to_string(rules_[rule].line) + ": " + rules_[rule].text;
}

std::vector<std::string> Policy::members_named() const {
  std::vector<std::string> out;
  const auto add = [&](const std::vector<std::string>& names) { out.insert(out.end(), names.begin(), names.end()); };
  for (const Group& group : groups_) add(group.members);
  for (const Rule& rule : rules_) {
    add(rule.from.members);
    add(rule.to.members);
  }
  std::ranges::sort(out);
  const auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
  return out;
}

PairRules::PairRules(const Policy& policy, const Subject& from, const Subject& to) : policy_(&policy) {
  const auto& rules = policy.rules();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const bool any_from = policy.selects(rules[i].from, from), any_to = policy.selects(rules[i].to, to);
    if (!any_from && rules[i].from.networks.empty()) continue;
    if (!any_to && rules[i].to.networks.empty()) continue;
    entries_.push_back({static_cast<std::uint16_t>(i), any_from, any_to});
    // Nothing gets past it.
    if (any_from && any_to && rules[i].services.empty()) break;
  }
}

Verdict PairRules::decide(const Opening& opening) const {
  for (const Entry& entry : entries_) {
    const Rule& rule = policy_->rules()[entry.rule];
    if (!entry.any_from && !(opening.ip && holds(rule.from.networks, opening.from))) continue;
    if (!entry.any_to && !(opening.ip && holds(rule.to.networks, opening.to))) continue;
    const bool service =
        rule.services.empty() ||
        (opening.ip && std::ranges::any_of(rule.services, [&](const auto& s) { return matches(s, opening); }));
    if (service) return {rule.allow, entry.rule};
  }
  return {false, static_cast<std::uint16_t>(policy_->rules().size())};
}

}  // namespace eps::policy
