// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/result.h"

namespace eps::app {

// Lets Graphviz draw `dot` into `file`; `form` is "png" or "svg".
Result<void> draw(const std::string& dot, const std::string& form, const std::string& file);

}  // namespace eps::app
