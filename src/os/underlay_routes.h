// SPDX-License-Identifier: MIT
#pragma once

// Policy rules and a routing table that keep the underlay (traffic with the mark of os/underlay_mark.h) out of the EPS
// interfaces, whatever the user routes through them: the LAN of a peer, a default route through a member.
//
//   32765: fwmark 0x45500000 lookup main suppress_ifgroup 17744    the route of main, unless into an EPS interface
//   32765: fwmark 0x45500000 lookup 1162870784                     the route main would have without those
//   32765: fwmark 0x45500000 unreachable                           otherwise none
//
// The rules come right before the rule for the main table, so that rules of the user and of other VPNs take precedence:
// rules of one priority are in the order in which they came, and the kernel gives the first rule without one 32765.
// If one of those looks up a table with a route through an EPS interface, the rules come right before that one instead.
// EPS interfaces, and interfaces stacked on them, are in group 17744. The table holds copies of the other routes in
// main (of a large main table only default routes and those that a route through an EPS interface hides). A route that
// was replaced by one through an EPS interface stays in the table while its own interface is up.
//
// All EPS programs on one computer share rules and table; the last client to end removes them. What a killed client
// leaves behind harms nothing, and the next client takes it over.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "os/interfaces.h"
#include "os/netlink.h"

namespace eps::os {

inline constexpr std::uint8_t kEpsProtocol = 69;  // 'E': marks the routes and rules that we made
inline constexpr std::uint32_t kUnderlayPriority = 32765;

class UnderlayRoutes {
 public:
  explicit UnderlayRoutes(NetlinkSocket& socket) : socket_(socket) {}
  // Brings rules and table to what they must be. `all`: the interfaces; `inside`: the indices of those that EPS runs
  // in. An Error where the kernel refuses; what worked before goes on.
  Result<void> reconcile(const std::vector<Interface>& all, const std::set<int>& inside);
  // Removes all of it.
  void remove();

 private:
  struct Route;
  struct Rule;
  Result<std::vector<Route>> routes(unsigned char family);
  Result<std::vector<Rule>> rules(unsigned char family);
  Result<void> reconcile(unsigned char family, const std::vector<Interface>& all, const std::set<int>& inside);
  Result<void> set_rules(unsigned char family, std::uint32_t priority, std::vector<Rule> present);
  Result<void> change_route(std::uint16_t type, const Route& route);
  Result<void> change_rule(std::uint16_t type, const Rule& rule);

  NetlinkSocket& socket_;
};

}  // namespace eps::os
