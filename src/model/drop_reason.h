// SPDX-License-Identifier: MIT
#pragma once

// Why packets are thrown away, for people: the one table that reports, `eps doctor` and docs/api.md speak from.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/counters.h"

namespace eps {

struct DropReason {
  // When `eps doctor` speaks of it: for some one packet is a sign, others come along in every network.
  enum class Telling : std::uint8_t {
    never,
    often,   // while it grows, or where it has come often
    always,  // as soon as there was one
  };
  Drop drop;
  const char* name;     // as in reports
  const char* meaning;  // after "N packets: "
  const char* advice;   // one sentence; "" where there is nothing to do
  Telling telling = Telling::often;
  std::uint16_t a_minute = 6;  // on average, that is often
};

// Ordered as Drop, without `none`.
std::span<const DropReason> drop_reasons();
// Null for a name that this version does not know.
const DropReason* find_drop_reason(std::string_view name);

}  // namespace eps
