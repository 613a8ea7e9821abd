// SPDX-License-Identifier: MIT
#pragma once

// Turns the command line and the configuration file of a daemon into its settings. The command line wins over the file;
// within the file, the program's own section wins over the lines before any section.

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/option_table.h"
#include "runtime/settings.h"

namespace eps::app {

inline constexpr int kExitFailure = 1;  // the start or the run cannot succeed
inline constexpr int kExitUsage = 2;    // an option is unknown, malformed, missing or impossible

// Instead of settings: main() prints the text, to standard output if the status is 0 and else to standard error.
struct Stop {
  int status = 0;
  std::string text;
};
template <class Settings>
using Parsed = std::variant<Settings, Stop>;

// The inputs of the defaults.
struct Surroundings {
  std::string hostname;
  std::string default_conf = "/etc/eps.conf";
  // Where systemd put copies of files that the daemon may not read itself, by their last names; empty: nowhere.
  std::string credentials = {};
  // The text of the file, if a caller has already read it.
  std::optional<std::string> conf_text = std::nullopt;
  // The variables of these names, in either case.
  std::string https_proxy = {}, no_proxy = {};
  // Of the terminal that standard output is; 0: it is none.
  std::size_t columns = 0;
};

// The copy that the service manager made of this file; empty if it made none.
std::string copy_of_conf(const Surroundings& here, const std::string& path);
// Absolute, and without "." and "..".
std::string full_path(const std::string& path);

Parsed<runtime::ClientSettings> client_settings(const std::vector<std::string>& arguments, const Surroundings& here);
Parsed<runtime::ServerSettings> server_settings(const std::vector<std::string>& arguments, const Surroundings& here);

// The settings as "name = value" lines for the log. The network key is not among them.
std::string describe(const runtime::ClientSettings& settings);
std::string describe(const runtime::ServerSettings& settings);

}  // namespace eps::app
