// SPDX-License-Identifier: MIT
#pragma once

// `eps policy …` and `eps members group`.

#include "app/tool_base.h"
#include "policy/policy.h"

namespace eps::app {

class PolicyCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;

  // REQUIRES: the first word is "policy". Returns the exit status.
  int run();
  // members group NAME [GROUP...]
  int set_groups();

 private:
  int show();
  int check(const std::string& path);
  int set(const std::string& text, const std::string& done);
  int set_file(const std::string& path);
  int test();
  // Of the client here, or else the server.
  Result<json> report();
  int no_report(const Error& error);
  static std::string unknown_members(const policy::Policy& policy, const json& report);
};

// The words between commas.
std::vector<std::string> words_of_list(std::string_view list);

}  // namespace eps::app
