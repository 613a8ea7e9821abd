#pragma once

// A table that is printed again and again: what moved between two looks at a daemon's status (status_json.h).

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace eps::report {

// Of a client its peers, of a server its members and what it relays for them. REQUIRES: seconds > 0.
std::string watch_text(const nlohmann::json& before, const nlohmann::json& now, double seconds);

}  // namespace eps::report
