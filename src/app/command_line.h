// SPDX-License-Identifier: MIT
#pragma once

// The options on the command line, by name. Boost.Program_options parses them and prints the help. Values are checked
// later, together with those of the configuration file.

#include <string>
#include <vector>

#include "app/option_table.h"
#include "base/result.h"

namespace eps::app {

struct Given {
  const OptionSpec* spec = nullptr;
  std::string value;  // of a flag "true"; of an optional value that is left out, the one that it then takes
  bool off = false;   // an optional value that the file switches off
  std::string where;  // "eps-client: --port 0" or "/etc/eps.conf:3: port = 0": the beginning of an error; no secret
};

// The manual's layout, or one that fits a terminal of so many columns (0: none).
std::string help_text(Program program, std::size_t columns = 0);

// The Error's sentence names the argument. Both "--scorecard FILE" and "--scorecard=FILE" give a value, "--scorecard"
// alone and before another option takes the default one.
Result<std::vector<Given>> parse_command_line(Program program, const std::vector<std::string>& arguments);

// For text from outside in a sentence: without control characters, cut after 80 bytes, without network keys.
std::string quotable(std::string_view text);

}  // namespace eps::app
