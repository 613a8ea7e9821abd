// SPDX-License-Identifier: MIT
#pragma once

// Explains the reasons for drops: the one table that reports, `eps doctor` and docs/api.md use.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/counters.h"

namespace eps {

struct DropReason {
  // When `eps doctor` mentions it: a single packet is a symptom for some reasons, while others occur in every network.
  enum class Telling : std::uint8_t {
    never,
    often,   // while it grows, or if it has happened often
    always,  // as soon as it has happened once
  };
  Drop drop;
  const char* name;     // as in reports
  const char* meaning;  // after "N packets: "
  const char* advice;   // one sentence; "" if nothing can be done
  Telling telling = Telling::often;
  std::uint16_t a_minute = 6;  // an average rate that counts as often
};

// In the order of Drop, without `none`.
std::span<const DropReason> drop_reasons();
// Null for a name that this version does not have.
const DropReason* find_drop_reason(std::string_view name);

}  // namespace eps
