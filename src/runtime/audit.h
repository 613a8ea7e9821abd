// SPDX-License-Identifier: MIT
#pragma once

// The server's record of acts of control, through its status socket.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "registry/registry.h"

namespace eps::runtime {

// Whose program asks: "root", "root for alice" with sudo, or a user's number that has no name.
std::string who_asks(const nlohmann::json& request);

// "after": entries behind that id, "since": of this Unix time or later. At most kMaxAuditAnswer, oldest first.
nlohmann::json answer_audit(const registry::Registry& registry, const nlohmann::json& request);

}  // namespace eps::runtime
