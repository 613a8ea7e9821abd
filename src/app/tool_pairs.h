// SPDX-License-Identifier: MIT
#pragma once

// `eps pairs`: what each pair of members sent to each other, of all or of one.

#include <string>

#include "app/tool_base.h"

namespace eps::app {

class PairsCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  // `wish`: the member; "": all.
  int run(const std::string& wish);
};

}  // namespace eps::app
