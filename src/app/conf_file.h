// SPDX-License-Identifier: MIT
#pragma once

// The syntax of /etc/eps.conf: one "name = value" per line, "#" begins a comment, and the sections [server] and
// [client] hold options for one program only. A flag needs no value. The meaning of names and values is checked
// elsewhere.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace eps::app {

inline constexpr std::size_t kMaxConfSize = 1024 * 1024;

struct ConfLine {
  std::size_t line = 0;  // from 1
  std::string section;   // "", "server" or "client"
  std::string name;
  std::optional<std::string> value;  // without blanks around it and without one pair of double quotes
};

// The Error's sentence begins with "PATH:LINE: ". It does not repeat what the line holds, which may be a secret.
Result<std::vector<ConfLine>> parse_conf(std::string_view text, const std::string& path);

std::string_view trim(std::string_view text);

}  // namespace eps::app
