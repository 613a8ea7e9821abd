// SPDX-License-Identifier: MIT
#pragma once

// A table that is printed again and again: what moved between two looks at a daemon's status (status_json.h).

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace eps::report {

// Of a client its peers, of a server its members and what it relays for them, in so many lines and characters at most
// (0: any); where the lines are too few the busiest are shown. REQUIRES: seconds > 0.
std::string watch_text(const nlohmann::json& before, const nlohmann::json& now, double seconds, std::size_t width = 0,
                       std::size_t height = 0);

}  // namespace eps::report
