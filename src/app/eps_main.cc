// SPDX-License-Identifier: MIT

// eps: the control tool.

#include <unistd.h>

#include <iostream>

#include "app/eps_tool.h"
#include "app/startup.h"

int main(int argc, char** argv) {
  eps::app::hold_standard_descriptors();
  const eps::app::ToolDefaults defaults{.terminal = ::isatty(STDOUT_FILENO) == 1,
                                        .systemd = ::access("/run/systemd/system", F_OK) == 0};
  const int status = eps::app::run_tool({argv + (argc > 0 ? 1 : 0), argv + argc}, defaults, std::cout, std::cerr);
  return eps::app::finish_output("eps", status);
}
