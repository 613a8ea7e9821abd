// SPDX-License-Identifier: MIT
#pragma once

// `eps keys …` and the commands about computers that wait to be approved.

#include "app/tool_base.h"

namespace eps::app {

class KeysCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;

  // REQUIRES: the first word is "keys". Returns the exit status.
  int run();
  // members pending | approve NAME | deny NAME
  int run_members();

 private:
  Result<json> ask_server(json what) const;
  int list();
  int create();
  int revoke(const std::string& which);
  int rotate();
  int pending();
  // Asks for a command with a name; prints `done` behind the name.
  int act_on(const std::string& command, const std::string& wish, const std::string& done);
};

// "guest waits to be approved", as the server at the socket says; "" if nobody waits, or it is no server, or does not
// tell this user.
std::string who_waits(const std::string& socket);
// Seconds: "90s", "15m", "24h", "7d"; nullopt: not such a time, or longer than ten years.
std::optional<std::int64_t> parse_validity(std::string_view text);
// "2026-11-27 16:20 UTC".
std::string date_text(std::int64_t unix_time);

}  // namespace eps::app
