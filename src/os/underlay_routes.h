#pragma once

// Policy rules and a routing table that keep the underlay (what carries the mark of os/underlay_mark.h) out of the EPS
// interfaces, whatever the user routes through them: the LAN of a peer, a default route through a member.
//
//   32763: fwmark 0x45500000 lookup main suppress_ifgroup 17744     what main says, unless it leads into an EPS
//   interface 32764: fwmark 0x45500000 lookup 1162870784                      what main would say without such routes
//   32765: fwmark 0x45500000 unreachable                            else nowhere
//
// They stand right before the rule for the main table, so that rules of the user and of other VPNs come first; where
// one of these leads into a table with a route through an EPS interface, they stand right before that one. EPS
// interfaces, and what is stacked upon one, are in the group 17744. The table holds copies of the other routes in
// main (of a large main table only those that a route through an EPS interface hides, and default routes); one that was
// replaced by a route through an EPS interface stays while its own interface is up.
//
// Several EPS programs on one computer share all of it; the last client that ends removes it. What one that was killed
// left behind does nothing to others, and the next one takes it over.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "os/interfaces.h"
#include "os/netlink.h"

namespace eps::os {

inline constexpr std::uint32_t kEpsGroup = 17744;  // "EP": of interfaces
inline constexpr std::uint8_t kEpsProtocol = 69;   // 'E': who made a route or rule
inline constexpr std::uint32_t kUnderlayPriority = 32763;

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
