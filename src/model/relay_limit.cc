// SPDX-License-Identifier: MIT
#include "model/relay_limit.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

namespace eps {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// The largest first, to write a value in the largest unit that is exact.
constexpr std::array<Unit, 3> kBits = {{{"gbit", 1'000'000'000}, {"mbit", 1'000'000}, {"kbit", 1'000}}};
constexpr std::array<Unit, 1> kPackets = {{{"pps", 1}}};
constexpr std::array<Unit, 3> kVolume = {
    {{"TB/day", 1'000'000'000'000}, {"GB/day", 1'000'000'000}, {"MB/day", 1'000'000}}};

struct Part {
  std::uint64_t RelayLimit::*value;
  std::span<const Unit> units;
  std::uint64_t least, most;
};
constexpr std::array<Part, 3> kParts = {{
    {&RelayLimit::bits_per_second, kBits, 64'000, 1'000'000'000'000},
    {&RelayLimit::packets_per_second, kPackets, 50, 1'000'000'000},
    {&RelayLimit::bytes_per_day, kVolume, 1'000'000, 1'000'000'000'000'000},
}};

bool same(std::string_view a, std::string_view b) {
  const auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, small, small);
}

bool put_part(std::string_view text, RelayLimit& to) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Part& part : kParts) {
    const auto unit = std::ranges::find_if(part.units, [&](const Unit& u) { return same(u.name, name); });
    if (unit == part.units.end()) continue;
    if (to.*part.value != 0 || number > part.most / unit->factor || number * unit->factor < part.least) return false;
    to.*part.value = number * unit->factor;
    return true;
  }
  return false;
}

}  // namespace

std::optional<RelayLimit> parse_relay_limit(std::string_view text) {
  RelayLimit out;
  if (text == "0") return out;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    if (!put_part(text.substr(0, comma), out)) return std::nullopt;
    if (more) text.remove_prefix(comma + 1);
  }
  return out;
}

std::string to_string(const RelayLimit& limit) {
  std::string out;
  for (const Part& part : kParts) {
    const std::uint64_t value = limit.*part.value;
    if (value == 0) continue;
    const auto unit = std::ranges::find_if(part.units, [&](const Unit& u) { return value % u.factor == 0; });
    const Unit& exact = unit == part.units.end() ? part.units.back() : *unit;
    out += (out.empty() ? "" : ",") + std::to_string(value / exact.factor) + std::string(exact.name);
  }
  return out.empty() ? "0" : out;
}

}  // namespace eps
