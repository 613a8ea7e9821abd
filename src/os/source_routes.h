// SPDX-License-Identifier: MIT
#pragma once

// Where several EPS interfaces of one computer have addresses of one range, the main table leads to one of them
// alone. A rule for each, beside those of os/underlay_routes.h, lets what is sent from its address leave through it:
// answers, and whatever a program sends from there.
//
//   32765: from 192.168.43.7 lookup 1162870791       a table of the interface's own, kUnderlayTable + its index
//          192.168.43.0/24 dev eps1                  and all that is in it
//
// The routes go with the interface. A rule whose client was killed leads nowhere any more; the next client that looks
// removes it.

#include <vector>

#include "model/ip_prefix.h"
#include "os/interfaces.h"
#include "os/netlink.h"
#include "os/underlay_mark.h"
#include "os/underlay_routes.h"

namespace eps::os {

inline constexpr std::uint32_t kSourcePriority = kUnderlayPriority;
constexpr std::uint32_t source_table(int index) {
  return kUnderlayTable + static_cast<std::uint32_t>(index);
}

struct SourceRoute {
  IpAddress from;
  IpPrefix to;
};

// Makes the rules and routes of the interface `own` what `wanted` says, and removes the rules of interfaces that are
// gone. An Error where the kernel refuses.
Result<void> set_source_routes(NetlinkSocket& socket, int own, const std::vector<SourceRoute>& wanted);

}  // namespace eps::os
