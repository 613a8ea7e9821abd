// SPDX-License-Identifier: MIT
#pragma once

// The command line of `eps`: its commands, its options, and which options belong to which command.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace eps::app {

struct Command {
  std::string_view words, argument, help;

  // "members remove NAME"
  std::string line() const;
};
std::span<const Command> commands();

struct Request {
  std::vector<std::string> words;
  std::optional<std::string> socket, state, into, png, svg, conf;
  std::optional<std::uint64_t> count, uses;
  std::optional<std::int64_t> expires;  // seconds from now
  std::optional<std::string> name, since, lock_key, file;
  std::optional<std::vector<std::string>> groups;
  bool json = false, help = false, version = false, approve = false, ephemeral = false, all = false, again = false,
       policy = false, qr = false;
  std::vector<std::string> options;  // the names of those given, without dashes
};

// The Error's sentence names the option. An option before an unknown command is accepted: the command is the mistake.
Result<Request> parse_request(const std::vector<std::string>& arguments);

// With a blank between two.
std::string joined(const std::vector<std::string>& words);

// What --help prints, not folded.
std::string help_text();
// The commands that begin with these words, and their options; "": there are none.
std::string help_text(const std::vector<std::string>& words);

}  // namespace eps::app
