// SPDX-License-Identifier: MIT
#pragma once

// The kernel's lists of interfaces, addresses and routes, read through rtnetlink.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "model/ip_prefix.h"
#include "os/netlink.h"

namespace eps::os {

inline constexpr std::uint32_t kEpsGroup = 17744;  // "EP": of the interfaces that EPS runs in

// An interface as the kernel lists it.
struct Interface {
  int index = 0;
  std::string name;
  std::string kind;    // "bridge", "tun", "veth"; "" for hardware
  int master = 0;      // index of the bridge or bond that it is a port of; 0: none
  unsigned flags = 0;  // IFF_UP...
  Mac mac;
  std::uint32_t mtu = 0;
  std::uint32_t tx_queue_length = 0;
  int addr_gen_mode = -1;  // of IPv6; -1 where the kernel has none
  int lower = 0;           // index of the interface of this namespace that it is stacked upon (VLAN, macvlan, VXLAN)
  std::uint32_t group = 0;
  // How many users want it to take every frame, or every frame to a group. nullopt: not known (before Linux 6.0).
  std::optional<std::uint32_t> promiscuity, all_groups;
  std::optional<IpAddress> tunnel_from;  // the address that an IPv4 tunnel sends from, where it is set
};

// An address on an interface.
struct InterfaceAddress {
  int index = 0;
  IpAddress address;
  IpAddress prefix_address;   // whose prefix is reachable: `address`, or the other end's on a point-to-point link
  std::uint8_t prefix = 0;    // of the address's own family
  std::uint32_t flags = 0;    // IFA_F_TENTATIVE...
  std::uint8_t protocol = 0;  // its origin, such as kEpsProtocol; 0: not known
};

// The network that is reachable through it.
IpPrefix prefix_of(const InterfaceAddress& address);

// An IPv4 unicast route through an interface, or a default route of IPv6.
struct Route {
  Ip4Network to;
  int index = 0;        // of the interface; of the first one where there are several; 0: none
  bool direct = false;  // no gateway
  std::uint32_t table = 0;
  std::uint8_t protocol = 0;         // its origin: RTPROT_KERNEL...
  std::uint32_t metric = 0;          // the kernel takes the route with the lowest
  std::optional<IpAddress> gateway;  // nullopt where there is none, several or one of the other family
  std::optional<IpAddress> source;   // preferred
};

Result<std::vector<Interface>> list_interfaces(NetlinkSocket& socket);
// REQUIRES: `family` is AF_INET, AF_INET6 or AF_UNSPEC for both.
Result<std::vector<InterfaceAddress>> list_addresses(NetlinkSocket& socket, unsigned char family);
// Of all tables. Routes that go nowhere (unreachable, blackhole), local and broadcast ones are left out.
Result<std::vector<Route>> list_routes(NetlinkSocket& socket);
// The default routes of IPv6, of all tables.
Result<std::vector<Route>> list_ip6_defaults(NetlinkSocket& socket);

// A consistent view of everything at one moment.
struct KernelView {
  std::vector<Interface> interfaces;
  std::vector<InterfaceAddress> addresses;  // of both families
  std::vector<Route> routes;                // IPv4
  std::vector<Route> ip6_defaults;
  const Interface* interface(int index) const;  // null: there is none
};
Result<KernelView> look_at_kernel(NetlinkSocket& socket);

// The interfaces that EPS runs in: those of `group` (which `own` may not be in yet), what is stacked upon them, and
// tunnels that send from an address of theirs. A bridge is one unless it has a port to the outside as well. Their
// indices.
std::set<int> inside_interfaces(const KernelView& kernel, std::uint32_t group, int own);

// Whether it is the interface of an EPS client.
bool is_eps(const Interface& interface);

// Whether an interface is the end of a tunnel: another VPN's, an overlay of containers or VMs.
bool is_tunnel(const Interface& interface);

// The interfaces with a default route in the main table that do not lead inside, the preferred first.
std::vector<int> uplinks(const KernelView& kernel, const std::set<int>& inside);

// The addresses at which other computers may reach this one, the most promising first: those of interfaces that are up
// and have a carrier, the first address of each family of each interface before the second of any, uplinks before other
// interfaces, hardware before what only looks like it. Left out: loopback, link-local and deprecated addresses, those
// of `inside`, of tunnels and of container bridges, unless these are an uplink.
std::vector<IpAddress> underlay_addresses(const KernelView& kernel, const std::set<int>& inside);

// What of this computer has addresses of an EPS network besides.
struct Collision {
  std::string with;    // "10.0.8.5/24 on eth0" or "the route to 10.0.0.0/8 on tun3"; "": nothing
  std::string remedy;  // a sentence if that is the computer's own address in the EPS network; "": it is not
};
inline constexpr const char* kOwnElsewhere =
    "This computer's address in the EPS network is also on another interface, ";
// `self`: that address. `own`: the index of the EPS interface; 0: there is none yet.
Collision collision_with(const KernelView& kernel, const InterfaceAddress& address, const IpAddress& self, int own);

// Two networks with the same addresses on one computer: one of them would become unreachable, and which, chance.
// Interfaces of other EPS clients do not count, because the clients arrange that among themselves (os/link.h).
// `own`: the index of the EPS interface, which does not count, nor does its bridge; 0: there is none yet, and another
// client's interface counts unless it has exactly this network, which may be a second member of it on this computer.
// `self`: this computer's address in the network, unspecified if it has none yet.
Result<Collision> find_collision(NetlinkSocket& socket, const Ip4Network& network, const IpAddress& self, int own);
// The same from what was read before. `bridge`: the one that the EPS interface is a port of, which may have its address
// instead; 0: none.
Collision find_collision(const KernelView& kernel, const Ip4Network& network, const IpAddress& self, int own,
                         int bridge);

// Whether `bridge` is one that container or VM software made for machines inside this one, so that its address means
// nothing to other computers: by its name, or because all of its ports are virtual (veth, TAP) and no default route
// goes through it. A veth itself is none: inside a container it is the way out.
bool is_container_bridge(const Interface& bridge, const std::vector<Interface>& all, const std::vector<Route>& routes);

// The router behind the machine's IPv4 default route.
struct Gateway {
  int index = 0;  // of the interface that leads there
  Ip4 router;
  Ip4 local;  // our address on that interface
  bool operator==(const Gateway&) const = default;
};
// The one of the route that the kernel prefers. Tunnels (TUN, TAP, WireGuard: our own interface, VPNs) and interfaces
// without a link do not count. nullopt: there is none, or the kernel does not say.
std::optional<Gateway> default_gateway(NetlinkSocket& socket);

}  // namespace eps::os
