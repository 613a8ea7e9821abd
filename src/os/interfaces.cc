// SPDX-License-Identifier: MIT
#include "os/interfaces.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <map>
#include <string_view>
#include <tuple>

#include "os/netlink_attributes.h"
#include "os/underlay_mark.h"

namespace eps::os {
namespace {

constexpr unsigned kAllMulti = 61;  // IFLA_ALLMULTI, from Linux 6.0 on

std::string text_of(const nlattr* attribute) {
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return {text, ::strnlen(text, mnl_attr_get_payload_len(attribute))};
}

int addr_gen_mode_of(const nlattr* af_spec) {
  int mode = -1;
  for_each_nested(af_spec, [&](unsigned family, const nlattr* specification) {
    if (family != AF_INET6) return;
    for_each_nested(specification, [&](unsigned type, const nlattr* attribute) {
      if (type == IFLA_INET6_ADDR_GEN_MODE) mode = number_of<std::uint8_t>(attribute);
    });
  });
  return mode;
}

// The IPv4 address that a tunnel of this kind sends from, among its kind's attributes; 0: it has none.
unsigned tunnel_from_attribute(std::string_view kind) {
  if (kind == "vxlan") return IFLA_VXLAN_LOCAL;
  if (kind == "gre" || kind == "gretap" || kind == "erspan") return 6;  // IFLA_GRE_LOCAL
  return kind == "ipip" || kind == "sit" ? 2 : 0;                       // IFLA_IPTUN_LOCAL
}

Interface parse_interface(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  Interface out;
  out.index = info->ifi_index;
  out.flags = info->ifi_flags;
  bool lower_is_elsewhere = false;
  const nlattr* data = nullptr;
  for_each_attribute<ifinfomsg>(message, [&](unsigned type, const nlattr* attribute) {
    switch (type) {
      case IFLA_LINK:
        out.lower = number_of<int>(attribute);
        break;
      case IFLA_LINK_NETNSID:
        lower_is_elsewhere = true;
        break;
      case IFLA_GROUP:
        out.group = number_of<std::uint32_t>(attribute);
        break;
      case IFLA_IFNAME:
        out.name = text_of(attribute);
        break;
      case IFLA_MASTER:
        out.master = number_of<int>(attribute);
        break;
      case IFLA_MTU:
        out.mtu = number_of<std::uint32_t>(attribute);
        break;
      case IFLA_PROMISCUITY:
        out.promiscuity = number_of<std::uint32_t>(attribute);
        break;
      case kAllMulti:
        out.all_groups = number_of<std::uint32_t>(attribute);
        break;
      case IFLA_TXQLEN:
        out.tx_queue_length = number_of<std::uint32_t>(attribute);
        break;
      case IFLA_AF_SPEC:
        out.addr_gen_mode = addr_gen_mode_of(attribute);
        break;
      case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(attribute) == out.mac.bytes.size()) {
          std::memcpy(out.mac.bytes.data(), mnl_attr_get_payload(attribute), out.mac.bytes.size());
        }
        break;
      case IFLA_LINKINFO:
        for_each_nested(attribute, [&](unsigned inner_type, const nlattr* inner) {
          if (inner_type == IFLA_INFO_KIND) out.kind = text_of(inner);
          if (inner_type == IFLA_INFO_DATA) data = inner;
        });
        break;
      default:
        break;
    }
  });
  // The two ends of a veth name each other.
  if (lower_is_elsewhere || out.kind == "veth" || out.lower == out.index) out.lower = 0;
  if (const unsigned from = tunnel_from_attribute(out.kind); from != 0 && data != nullptr) {
    for_each_nested(data, [&](unsigned type, const nlattr* attribute) {
      if (type != from) return;
      const auto ip = ip_of(attribute);
      if (ip && ip->is_v4() && ip->v4().value != 0) out.tunnel_from = ip;
    });
  }
  return out;
}

std::optional<InterfaceAddress> parse_address(const nlmsghdr* message) {
  const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
  InterfaceAddress out;
  out.index = static_cast<int>(info->ifa_index);
  out.prefix = info->ifa_prefixlen;
  out.flags = info->ifa_flags;
  std::optional<IpAddress> local, prefix_address;
  for_each_attribute<ifaddrmsg>(message, [&](unsigned type, const nlattr* attribute) {
    if (type == IFA_LOCAL) local = ip_of(attribute);
    if (type == IFA_ADDRESS) prefix_address = ip_of(attribute);
    if (type == kAddressProtocol) out.protocol = number_of<std::uint8_t>(attribute);
    if (type == IFA_FLAGS) out.flags = number_of<std::uint32_t>(attribute);  // the header's field holds eight bits
  });
  // On a point-to-point link IFA_ADDRESS is the other end's; IPv6 has no IFA_LOCAL without one.
  if (!local) local = prefix_address;
  if (!local) return std::nullopt;
  out.address = *local;
  out.prefix_address = prefix_address.value_or(*local);
  return out;
}

std::optional<Route> parse_route(const nlmsghdr* message) {
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (info->rtm_type != RTN_UNICAST || (info->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  Route out;
  out.to.prefix = info->rtm_dst_len;
  out.table = info->rtm_table;
  out.protocol = info->rtm_protocol;
  out.direct = true;
  for_each_attribute<rtmsg>(message, [&](unsigned type, const nlattr* attribute) {
    switch (type) {
      case RTA_DST:
        out.to.base = {ntohl(number_of<std::uint32_t>(attribute))};
        break;
      case RTA_OIF:
        out.index = number_of<int>(attribute);
        break;
      case RTA_TABLE:
        out.table = number_of<std::uint32_t>(attribute);
        break;
      case RTA_PREFSRC:
        out.source = ip_of(attribute);
        break;
      case RTA_PRIORITY:
        out.metric = number_of<std::uint32_t>(attribute);
        break;
      case RTA_GATEWAY:
        out.gateway = ip_of(attribute);
        out.direct = false;
        break;
      case RTA_VIA:
        out.direct = false;
        break;
      case RTA_MULTIPATH: {  // the first path represents all
        const auto hop = number_of<rtnexthop>(attribute);
        out.index = hop.rtnh_ifindex;
        out.direct = false;
        break;
      }
      default:
        break;
    }
  });
  return out;
}

bool starts_with_any(std::string_view name, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return name.starts_with(p); });
}

// By the names that container and VM software gives.
bool has_container_bridge_name(std::string_view name) {
  if (starts_with_any(name, {"docker", "podman", "cni", "virbr", "lxcbr", "lxdbr", "incusbr", "nerdctl"})) return true;
  // Docker's own networks: br- and 12 hexadecimal digits. Others, as OpenWrt's br-lan, are real networks.
  return name.size() == 15 && name.starts_with("br-") &&
         name.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}

// A veth is a cable to another namespace: only its name shows whether it leads out of a container or lab, or into one.
bool is_outward_veth(const Interface& port) {
  for (const std::string_view prefix : {"eth", "wan", "lan", "en"}) {
    if (!port.name.starts_with(prefix)) continue;
    const std::string_view number = std::string_view(port.name).substr(prefix.size());
    if (!number.empty() && number.find_first_not_of("0123456789") == std::string_view::npos) return true;
  }
  return false;
}

bool is_port_to_the_outside(const Interface& port) {
  return port.kind == "veth" ? is_outward_veth(port) : port.kind != "tun" && !is_tunnel(port);
}

bool is_default(const Route& route) {
  return route.to.prefix == 0 && route.table == RT_TABLE_MAIN;
}

}  // namespace

bool is_container_bridge(const Interface& bridge, const std::vector<Interface>& all, const std::vector<Route>& routes) {
  if (bridge.kind != "bridge") return false;
  if (has_container_bridge_name(bridge.name)) return true;
  const auto leads_out = [&](const Route& r) { return is_default(r) && r.index == bridge.index; };
  const auto is_real_port = [&](const Interface& i) { return i.master == bridge.index && is_port_to_the_outside(i); };
  return std::ranges::none_of(routes, leads_out) && std::ranges::none_of(all, is_real_port);
}

std::optional<Gateway> default_gateway(NetlinkSocket& socket) {
  const auto interfaces = list_interfaces(socket);
  const auto routes = list_routes(socket);
  const auto addresses = list_addresses(socket, AF_INET);
  if (!interfaces || !routes || !addresses) return std::nullopt;
  const auto usable = [&](const Route& route) {
    const auto on = std::ranges::find(*interfaces, route.index, &Interface::index);
    return is_default(route) && route.gateway && route.gateway->is_v4() && on != interfaces->end() && !is_tunnel(*on) &&
           (on->flags & IFF_RUNNING) != 0;
  };
  const Route* best = nullptr;
  for (const Route& route : *routes) {
    if (usable(route) && (best == nullptr || route.metric < best->metric)) best = &route;
  }
  if (best == nullptr) return std::nullopt;
  const Ip4 router = best->gateway->v4();
  for (const InterfaceAddress& address : *addresses) {
    if (address.index != best->index || !address.address.is_v4()) continue;
    Ip4Network network{address.address.v4(), address.prefix};
    network.base.value &= network.mask();
    if (best->source ? best->source == address.address : network.contains(router)) {
      return Gateway{best->index, router, address.address.v4()};
    }
  }
  return std::nullopt;
}

Result<std::vector<Interface>> list_interfaces(NetlinkSocket& socket) {
  NetlinkMessage request(RTM_GETLINK, 0);
  request.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  std::vector<Interface> all;
  Result<void> dumped = socket.dump(request, "list the network interfaces", [&](const nlmsghdr* message) {
    if (message->nlmsg_type == RTM_NEWLINK) all.push_back(parse_interface(message));
  });
  if (!dumped) return dumped.error();
  return all;
}

Result<std::vector<InterfaceAddress>> list_addresses(NetlinkSocket& socket, unsigned char family) {
  NetlinkMessage request(RTM_GETADDR, 0);
  request.family<ifaddrmsg>().ifa_family = family;
  std::vector<InterfaceAddress> all;
  Result<void> dumped = socket.dump(request, "list the addresses of this computer", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWADDR) return;
    if (std::optional<InterfaceAddress> address = parse_address(message)) all.push_back(*address);
  });
  if (!dumped) return dumped.error();
  return all;
}

namespace {

Result<std::vector<Route>> list_routes_of(NetlinkSocket& socket, unsigned char family) {
  NetlinkMessage request(RTM_GETROUTE, 0);
  request.family<rtmsg>().rtm_family = family;
  std::vector<Route> all;
  Result<void> dumped = socket.dump(request, "list the routes", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE) return;
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    if (info->rtm_family != family || (family == AF_INET6 && info->rtm_dst_len != 0)) return;
    if (std::optional<Route> route = parse_route(message)) all.push_back(*route);
  });
  if (!dumped) return dumped.error();
  return all;
}

}  // namespace

Result<std::vector<Route>> list_routes(NetlinkSocket& socket) {
  return list_routes_of(socket, AF_INET);
}

Result<std::vector<Route>> list_ip6_defaults(NetlinkSocket& socket) {
  return list_routes_of(socket, AF_INET6);
}

const Interface* KernelView::interface(int index) const {
  const auto it = std::ranges::find(interfaces, index, &Interface::index);
  return it == interfaces.end() ? nullptr : &*it;
}

Result<KernelView> look_at_kernel(NetlinkSocket& socket) {
  auto interfaces = list_interfaces(socket);
  if (!interfaces) return interfaces.error();
  auto addresses = list_addresses(socket, AF_UNSPEC);
  if (!addresses) return addresses.error();
  auto routes = list_routes(socket);
  if (!routes) return routes.error();
  auto ip6_defaults = list_ip6_defaults(socket);
  return KernelView{std::move(*interfaces), std::move(*addresses), std::move(*routes),
                    ip6_defaults ? std::move(*ip6_defaults) : std::vector<Route>()};  // a kernel may have no IPv6
}

std::set<int> inside_interfaces(const KernelView& kernel, std::uint32_t group, int own) {
  std::set<int> inside;
  for (const Interface& i : kernel.interfaces) {
    if (i.index == own || (i.group == group && i.kind == "tun")) inside.insert(i.index);
  }
  const auto has_address = [&](const IpAddress& ip) {
    return std::ranges::any_of(kernel.addresses,
                               [&](const auto& a) { return a.address == ip && inside.contains(a.index); });
  };
  const auto leads_out = [&](const Interface& bridge) {
    return std::ranges::any_of(kernel.interfaces, [&](const Interface& port) {
      return port.master == bridge.index && !inside.contains(port.index) && is_port_to_the_outside(port);
    });
  };
  const auto carries = [&](const Interface& master) {
    return std::ranges::any_of(kernel.interfaces, [&](const Interface& port) {
      return port.master == master.index && inside.contains(port.index);
    });
  };
  for (std::size_t before = 0; before != inside.size();) {
    before = inside.size();
    for (const Interface& i : kernel.interfaces) {
      if (inside.contains(i.lower) || (i.tunnel_from && has_address(*i.tunnel_from)) || (carries(i) && !leads_out(i))) {
        inside.insert(i.index);
      }
    }
  }
  return inside;
}

IpPrefix prefix_of(const InterfaceAddress& address) {
  IpPrefix out{address.prefix_address, address.prefix};
  const unsigned bits = address.prefix + (out.base.is_v4() ? 96U : 0U);
  for (unsigned bit = bits; bit < 128; ++bit) out.base.bytes[bit / 8] &= ~std::byte(0x80 >> bit % 8);
  return out;
}

bool is_eps(const Interface& interface) {
  return interface.kind == "tun" && interface.group == kEpsGroup;
}

bool is_tunnel(const Interface& interface) {
  static constexpr std::array<std::string_view, 18> kKinds = {
      "tun",       "wireguard", "vxlan", "geneve", "gre", "gretap", "erspan", "ip6gre",  "ip6gretap",
      "ip6erspan", "ipip",      "sit",   "ip6tnl", "vti", "vti6",   "xfrm",   "bareudp", "amt"};
  return std::ranges::find(kKinds, interface.kind) != kKinds.end();
}

std::vector<int> uplinks(const KernelView& kernel, const std::set<int>& inside) {
  std::map<int, std::uint32_t> metrics;
  for (const auto* routes : {&kernel.routes, &kernel.ip6_defaults}) {
    for (const Route& route : *routes) {
      if (!is_default(route) || route.index == 0 || inside.contains(route.index)) continue;
      const auto [it, added] = metrics.emplace(route.index, route.metric);
      if (!added) it->second = std::min(it->second, route.metric);
    }
  }
  std::vector<std::pair<std::uint32_t, int>> sorted;
  for (const auto& [index, metric] : metrics) sorted.emplace_back(metric, index);
  std::ranges::sort(sorted);
  std::vector<int> out;
  for (const auto& [metric, index] : sorted) out.push_back(index);
  return out;
}

std::vector<IpAddress> underlay_addresses(const KernelView& kernel, const std::set<int>& inside) {
  constexpr std::uint32_t kUnusable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  constexpr unsigned kLive = IFF_UP | IFF_RUNNING;  // running: the cable is in
  const std::vector<int> out = uplinks(kernel, inside);
  struct Ranked {
    std::size_t nth;     // address of its family on its interface
    std::size_t uplink;  // its place among the uplinks, or behind them
    bool virtual_one;    // no hardware, and not made of it
    std::size_t place;   // in the kernel's list
    IpAddress ip;
  };
  std::vector<Ranked> ranked;
  std::map<std::pair<int, bool>, std::size_t> counts;
  for (const InterfaceAddress& address : kernel.addresses) {
    const Interface* const on = kernel.interface(address.index);
    if (on == nullptr || inside.contains(address.index)) continue;
    if ((on->flags & kLive) != kLive || (on->flags & IFF_LOOPBACK) != 0 || (address.flags & kUnusable) != 0) continue;
    const IpAddress& ip = address.address;
    if (ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()) continue;
    const auto uplink = static_cast<std::size_t>(std::ranges::find(out, address.index) - out.begin());
    const bool is_uplink = uplink < out.size();
    if (!is_uplink && (is_tunnel(*on) || is_container_bridge(*on, kernel.interfaces, kernel.routes))) continue;
    const bool virtual_one = on->kind == "dummy" || (on->kind == "veth" && !is_outward_veth(*on));
    ranked.push_back({counts[{address.index, ip.is_v4()}]++, uplink, virtual_one, ranked.size(), ip});
  }
  std::ranges::sort(ranked, {}, [](const Ranked& r) { return std::tuple(r.nth, r.uplink, r.virtual_one, r.place); });
  std::vector<IpAddress> all;
  for (const Ranked& r : ranked) all.push_back(r.ip);
  return all;
}

namespace {

std::string name_of(const KernelView& kernel, int index) {
  const Interface* const it = kernel.interface(index);
  return it == nullptr ? "interface " + std::to_string(index) : it->name;
}

}  // namespace

Collision collision_with(const KernelView& kernel, const InterfaceAddress& address, const IpAddress& self, int own) {
  const Interface* const on = kernel.interface(address.index);
  const std::string text = to_string(address.address) + "/" + std::to_string(address.prefix);
  const std::string name = name_of(kernel, address.index);
  Collision out{text + " on " + name, ""};
  if (address.address != self || on == nullptr) return out;
  out.remedy = "Remove it there (ip addr del " + text + " dev " + name + ")";
  const Interface* const device = kernel.interface(own);
  if (device != nullptr && on->kind == "bridge") {
    out.remedy += ", or make " + device->name + " a port of " + name + " again (ip link set " + device->name +
                  " master " + name + ")";
  }
  out.remedy += ".";
  return out;
}

Result<Collision> find_collision(NetlinkSocket& socket, const Ip4Network& network, const IpAddress& self, int own) {
  const auto kernel = look_at_kernel(socket);
  if (!kernel) return kernel.error();
  const Interface* const device = kernel->interface(own);
  return find_collision(*kernel, network, self, own, device == nullptr ? 0 : device->master);
}

Collision find_collision(const KernelView& kernel, const Ip4Network& network, const IpAddress& self, int own,
                         int bridge) {
  const auto other_client = [&](int index, const Ip4Network& other) {
    const Interface* const it = kernel.interface(index);
    return it != nullptr && is_eps(*it) && (own != 0 || other == network);
  };
  const auto is_own = [&](int index) { return index == own || (bridge != 0 && index == bridge); };
  for (const InterfaceAddress& a : kernel.addresses) {
    if (is_own(a.index) || !a.address.is_v4() || !a.prefix_address.is_v4()) continue;
    Ip4Network other{a.prefix_address.v4(), a.prefix};
    other.base.value &= other.mask();
    if (other_client(a.index, other)) continue;
    if (network.overlaps(other) || network.contains(a.address.v4())) {
      return collision_with(kernel, a, self, own);
    }
  }
  for (const Route& route : kernel.routes) {
    if (is_own(route.index) || route.index == 0 || route.table == kUnderlayTable) continue;
    // Default routes, and the pieces of one that VPNs set instead (0.0.0.0/1 and 128.0.0.0/1, or all but the private
    // networks: 64.0.0.0/2 and others), yield to ours. No network of addresses is wider than 10.0.0.0/8.
    const bool piece = route.to.prefix < std::min<unsigned>(8, network.prefix);
    if (piece || !route.to.overlaps(network) || other_client(route.index, route.to)) continue;
    return {"the route to " + to_string(route.to) + " on " + name_of(kernel, route.index), ""};
  }
  return {};
}

}  // namespace eps::os
