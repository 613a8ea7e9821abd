// SPDX-License-Identifier: MIT
#pragma once

// Which pairs of members a report names. In a large network that all talk in there are more than anybody reads: a
// report has the busiest, and `eps pairs` has all, in pages.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/status.h"

namespace eps::report {

// Members and pairs of one report together, so that it stays below 10 MB; a full mesh of 100 fits. Beside members that
// alone are so many, kLeastPairs are named.
inline constexpr std::size_t kMostRows = 12'000;
inline constexpr std::size_t kLeastPairs = 2'000;

// The pairs with the most bytes as both sides counted them, in the order of `status.pairs`.
std::vector<PairStatus> busiest_pairs(const ServerStatus& status);

// Those of `pairs` whose two members are in `status`, as in status_json.h.
nlohmann::json pairs_json(const ServerStatus& status, const std::vector<PairStatus>& pairs);

// A table for people of such a list.
std::string pairs_text(const nlohmann::json& pairs, std::size_t width = 0);

}  // namespace eps::report
