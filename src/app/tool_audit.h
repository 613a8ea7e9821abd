// SPDX-License-Identifier: MIT
#pragma once

// `eps audit`: the server's record of control actions.

#include "app/tool_base.h"

namespace eps::app {

class AuditCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  int run();
};

// The Unix time of a day "2026-11-27" (UTC), or of so long before `now`: "90s", "15m", "24h", "7d".
std::optional<std::int64_t> parse_since(std::string_view text, std::int64_t now);

}  // namespace eps::app
