// SPDX-License-Identifier: MIT

// Which multicast the EPS interface takes; os/link.cc keeps everything else.

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "os/link.h"

namespace eps::os {
namespace {

// What the kernel would set in a network card. Of this thread's network namespace.
constexpr const char* kFilters = "/proc/thread-self/net/dev_mcast";

std::optional<Mac> mac_of(const std::string& hex) {
  Mac out;
  if (hex.size() != 2 * out.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    std::uint8_t value = 0;
    const char* const digits = hex.data() + 2 * i;
    if (std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) return std::nullopt;
    out.bytes[i] = std::byte{value};
  }
  return out;
}

}  // namespace

GroupFilter NetlinkLink::group_filter() {
  const auto interfaces = list_interfaces(socket_);
  if (!interfaces) return {};
  const auto own = std::ranges::find_if(*interfaces, [&](const Interface& i) { return is_own(i); });
  if (own == interfaces->end() || own->promiscuity != 0U || own->all_groups != 0U) return {};
  std::ifstream file(kFilters);
  if (!file) return {};
  GroupFilter out{false, {}};
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    int index = 0;
    std::string name, users, global, address;
    if (!(words >> index >> name >> users >> global >> address) || index != own->index) continue;
    if (const auto mac = mac_of(address)) out.macs.push_back(*mac);
  }
  std::ranges::sort(out.macs);
  return out;
}

}  // namespace eps::os
