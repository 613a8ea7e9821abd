// SPDX-License-Identifier: MIT
#include "runtime/policy_admin.h"

#include <nlohmann/json.hpp>

namespace eps::runtime {

using nlohmann::json;

template <class Members>
json policy_report(const NetworkPolicy& policy, const Members& members, const std::optional<PolicyStatus>& status) {
  json out = {{"ok", true}, {"text", policy.text}, {"signed", policy.sequence != 0}, {"members", json::object()}};
  for (const auto& [id, member] : members) {
    out["members"][member.name] = {
        {"groups", member.groups}, {"address", to_string(member.address)}, {"mac", to_string(member.mac)}};
  }
  if (!status) return out;
  out["trouble"] = status->trouble;
  out["dropped"] = json::array();
  for (const PolicyStatus::Dropped& d : status->dropped) {
    out["dropped"].push_back({{"line", d.line}, {"rule", d.rule}, {"packets", d.packets}});
  }
  return out;
}
template json policy_report(const NetworkPolicy& policy, const MemberMap& members,
                            const std::optional<PolicyStatus>& status);
template json policy_report(const NetworkPolicy& policy, const std::map<MemberId, Member>& members,
                            const std::optional<PolicyStatus>& status);

}  // namespace eps::runtime
