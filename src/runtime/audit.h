// SPDX-License-Identifier: MIT
#pragma once

// The server's record of control actions, through its status socket.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "registry/registry.h"

namespace eps::runtime {

// The user whose program asks: "root", "root for alice" with sudo, or the number of a user without a name.
std::string who_asks(const nlohmann::json& request);

// "after": entries with a greater id, "since": of this Unix time or later. At most kMaxAuditAnswer, oldest first.
nlohmann::json answer_audit(const registry::Registry& registry, const nlohmann::json& request);

}  // namespace eps::runtime
