// SPDX-License-Identifier: MIT
#pragma once

// The most that a relay passes on for one member as the sender. Each part holds by itself; 0: no limit.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace eps {

struct RelayLimit {
  std::uint64_t bits_per_second = 0;
  std::uint64_t packets_per_second = 0;
  std::uint64_t bytes_per_day = 0;  // may be used at once; used up, it comes back in the course of a day
  bool any() const { return bits_per_second != 0 || packets_per_second != 0 || bytes_per_day != 0; }
  bool operator==(const RelayLimit&) const = default;
};

// Some of these, separated by commas: "50mbit" (kbit, mbit or gbit), "20000pps", "100GB/day" (MB, GB or TB), or "0" for
// no limit. Units are decimal, in capital or small letters. nullopt for anything else, including rates below 64kbit,
// 50pps and 1MB/day, with which no connection works, and beyond 1000gbit, 1000000000pps and 1000TB/day.
std::optional<RelayLimit> parse_relay_limit(std::string_view text);
// In the same form.
std::string to_string(const RelayLimit& limit);

}  // namespace eps
