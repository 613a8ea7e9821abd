// SPDX-License-Identifier: MIT
#pragma once

// Figures in the text exposition format of Prometheus, as `promtool check metrics` wants it: each name with HELP and
// TYPE, times in seconds, counters that end in "_total".

#include <string>
#include <vector>

#include "report/scorecard.h"

namespace eps::report {

std::string prometheus_text(const std::vector<Figure>& figures);

}  // namespace eps::report
