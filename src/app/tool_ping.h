// SPDX-License-Identifier: MIT
#pragma once

#include "app/tool_base.h"

namespace eps::app {

// `eps ping PEER`: the round trip through the conduit, and next to it the one of the path outside.
class PingCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  // Exit status 0: answered at least once; 1: never.
  int run(const std::string& peer);
};

// `eps watch`: a table every second, until it is interrupted or --count are printed.
class WatchCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  int run();
};

}  // namespace eps::app
