// SPDX-License-Identifier: MIT
#pragma once

// The network's policy through the status sockets of both daemons.

#include <map>
#include <nlohmann/json_fwd.hpp>

#include "model/network.h"
#include "model/status.h"

namespace eps::runtime {

// {"ok": true, "text": ..., "signed": ..., "members": {name: [group ...]}}, and of a client "status", what its rules
// have dropped. `policy`: what is in force.
// `Members` is MemberMap or std::map<MemberId, Member>.
template <class Members>
nlohmann::json policy_report(const NetworkPolicy& policy, const Members& members,
                             const std::optional<PolicyStatus>& status);

}  // namespace eps::runtime
