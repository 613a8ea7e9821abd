// SPDX-License-Identifier: MIT
#pragma once

// Which pairs of members a report names. In a large network with traffic between all members, there are more than
// anybody reads: a report has the busiest, and `eps pairs` has all, in pages.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/status.h"

namespace eps::report {

// Members and pairs of one report together, so that it stays below 10 MB; a full mesh of 100 fits. If the members alone
// are that many, kLeastPairs pairs are named.
inline constexpr std::size_t kMostRows = 12'000;
inline constexpr std::size_t kLeastPairs = 2'000;

// The pairs with the most bytes as counted by both sides, in the order of `status.pairs`.
std::vector<PairStatus> busiest_pairs(const ServerStatus& status);

// The entries of `pairs` whose two members are in `status`, as in status_json.h.
nlohmann::json pairs_json(const ServerStatus& status, const std::vector<PairStatus>& pairs);

// Such a list as a table for people.
std::string pairs_text(const nlohmann::json& pairs, std::size_t width = 0);

}  // namespace eps::report
