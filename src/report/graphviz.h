#pragma once

// The network as a picture for Graphviz: the server, its members, and how each pair talks. dot, circo, neato and fdp
// draw it; of a large network the labels of all but the busiest and the relayed edges are tooltips only (of an SVG).

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "model/status.h"

namespace eps::report {

// An earlier status, for rates and for what was lost lately.
struct EarlierStatus {
  ServerStatus status;
  std::chrono::milliseconds ago{0};
};

std::string graphviz_text(const ServerStatus& status, const std::optional<EarlierStatus>& earlier,
                          std::int64_t unix_time);

}  // namespace eps::report
