// SPDX-License-Identifier: MIT
#pragma once

// The figures of a daemon for other programs, in three forms that carry the same.
//
//   keys         one line each, NAME=INTEGER; a member's name is a part of NAME, and the only part with points in it;
//                of a pair, whose two names follow each other, they are written %2E
//   prometheus   the text exposition format: eps_…{peer="bob"}; times are in seconds
//   json         one object: the parts of NAME are the nested keys
//
// Names never change their meaning; new ones may come. docs/operations.md lists them.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/statistics.h"

namespace eps::report {

enum class ScorecardFormat : std::uint8_t { keys, prometheus, json };
std::optional<ScorecardFormat> parse_scorecard_format(std::string_view name);
std::string_view name_of(ScorecardFormat format);

struct Figure {
  std::string_view
      group;  // "total", "interval", "drop", "policy_drop", "peer", "member", "pair", or "" for the daemon itself
  std::string subject;  // a member's name, the reason of a drop, or a rule; "": none
  std::string other;    // of a pair, the one that it goes to
  std::string_view name;
  std::uint64_t value = 0;
  bool counter = false;  // grows from the start on
};

// What passed since the last scorecard.
struct Passed {
  Totals totals;
  std::chrono::milliseconds duration{0};
};

// `unix_time`: in seconds. Without `passed` the figures of the interval are left out.
std::vector<Figure> figures_of(const ClientStatus& status, const std::optional<Passed>& passed, std::int64_t unix_time);
std::vector<Figure> figures_of(const ServerStatus& status, const std::optional<Passed>& passed, std::int64_t unix_time);

std::string scorecard_text(const std::vector<Figure>& figures, ScorecardFormat format);

}  // namespace eps::report
