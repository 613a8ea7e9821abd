// SPDX-License-Identifier: MIT
#pragma once

// The network as a picture for Graphviz: the server, its members, and how each pair communicates. dot, circo, neato and
// fdp draw it in seconds: of a large network only the essential is drawn, the relayed and losing conduits and the
// busiest, and most labels are only tooltips (of an SVG). Each member's box has its own traffic.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/status.h"

namespace eps::report {

// The pairs of an earlier status, for rates and recent loss.
struct Earlier {
  const std::vector<PairStatus>& pairs;
  std::chrono::milliseconds ago{0};
};

std::string graphviz_text(const ServerStatus& status, const std::optional<Earlier>& earlier, std::int64_t unix_time);

}  // namespace eps::report
