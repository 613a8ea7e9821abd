// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace eps::app {

std::string_view version();  // "0.1.0"
std::string version_line();  // "EPS Conduits v0.1.0"

}  // namespace eps::app
