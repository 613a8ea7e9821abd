// SPDX-License-Identifier: MIT
#pragma once

// The checks that a person would make when something does not work, applied to a daemon's status (status_json.h).

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace eps::report {

struct Finding {
  enum class Level : std::uint8_t { ok, warning, problem };
  Level level = Level::ok;
  std::string what;  // one sentence
  std::string mend;  // one sentence; "" if there is nothing to do
};
std::string_view name_of(Finding::Level level);

// `status` is of a client or of a server. `tool_version`: of the calling program. `earlier`: the same daemon's status a
// moment before, or null; it shows which counters grow.
std::vector<Finding> diagnose(const nlohmann::json& status, std::string_view tool_version,
                              const nlohmann::json* earlier = nullptr);
// Problems with the services of this computer, from the output of `systemctl show` for the properties Id,
// ActiveState, SubState, Result, ExecMainStatus and UnitFileState.
std::vector<Finding> unit_findings(std::string_view shown);

// "ok       ...", with what to do on the line below.
std::string findings_text(const std::vector<Finding>& findings);
// [{level ("ok" | "warning" | "problem"), what, mend?}]
nlohmann::json findings_json(const std::vector<Finding>& findings);
// The worst level among them.
Finding::Level worst(const std::vector<Finding>& findings);

}  // namespace eps::report
