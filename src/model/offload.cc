// SPDX-License-Identifier: MIT
#include "model/offload.h"

#include <array>
#include <utility>

namespace eps {
namespace {

constexpr std::array<std::pair<std::string_view, bool OffloadSet::*>, 5> kNames = {{
    {"csum", &OffloadSet::csum},
    {"tso", &OffloadSet::tso},
    {"uso", &OffloadSet::uso},
    {"gso", &OffloadSet::gso},
    {"gro", &OffloadSet::gro},
}};

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

OffloadStatus offload_status(const OffloadSet& wish, const OffloadSet& used) {
  OffloadStatus out{used, kNoOffloads};
  for (const auto& [name, member] : kNames) out.missing.*member = wish.*member && !(used.*member);
  return out;
}

std::vector<std::string> names_of(const OffloadSet& set) {
  std::vector<std::string> out;
  for (const auto& [name, member] : kNames) {
    if (set.*member) out.emplace_back(name);
  }
  return out;
}

std::string to_string(const OffloadSet& set) {
  std::string out;
  for (const std::string& name : names_of(set)) out += (out.empty() ? "" : ",") + name;
  return out.empty() ? "none" : out;
}

std::optional<OffloadSet> parse_offloads(std::string_view text) {
  OffloadSet out = kNoOffloads;
  if (text == "none") return out;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    const std::string_view word = trim(text.substr(0, comma));
    text.remove_prefix(more ? comma + 1 : text.size());
    bool known = false;
    for (const auto& [name, member] : kNames) {
      if (name == word) known = out.*member = true;
    }
    if (!known) return std::nullopt;
  }
  return out;
}

}  // namespace eps
