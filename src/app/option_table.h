// SPDX-License-Identifier: MIT
#pragma once

// Every option of both daemons in one table: from it come the help, what the command line and the configuration file
// accept, and the template of the configuration file.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace eps::app {

enum class Program : std::uint8_t { client, server };
inline std::string name_of(Program program) {
  return program == Program::client ? "eps-client" : "eps-server";
}
inline Program sibling_of(Program program) {
  return program == Program::client ? Program::server : Program::client;
}
inline std::string section_of(Program program) {
  return program == Program::client ? "client" : "server";
}

struct OptionSpec {
  enum class Group : std::uint8_t { common, logging, program };
  enum class Kind : std::uint8_t {
    flag,            // present or not
    value,           // needs a value
    optional_value,  // without a value it takes the one in `client.value` or `server.value`
  };
  // The option in one of the programs. An empty help: the program does not have it.
  struct In {
    std::string_view help;
    std::string_view value = {};  // the default; "" if there is none
  };
  std::string_view name;
  Group group;
  Kind kind;
  In client, server;
  bool command_line_only = false;

  const In& in(Program program) const { return program == Program::client ? client : server; }
  bool is_of(Program program) const { return !in(program).help.empty(); }
};

// In the order of the help.
std::span<const OptionSpec> option_table();
// Null if neither program has it.
const OptionSpec* find_option(std::string_view name);
// How many letters must be inserted, deleted or changed.
std::size_t edit_distance(std::string_view a, std::string_view b);
// The option of `program` that a mistyped name most likely meant; "" if none is close.
std::string_view nearest_option(std::string_view mistyped, Program program);

}  // namespace eps::app
