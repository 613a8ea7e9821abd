#include "os/interfaces.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string_view>

namespace eps::os {
namespace {

// Calls `each(type, attribute)` for the attributes from `first` to `end`. (libmnl's own loops are not C++.)
template <class Each>
void for_each_between(const void* first, const char* end, Each&& each) {
  for (auto* attribute = static_cast<const nlattr*>(first);
       mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    each(mnl_attr_get_type(attribute), attribute);
  }
}
// The attributes behind a message's family header, or inside another attribute.
template <class Family, class Each>
void for_each_attribute(const nlmsghdr* message, Each&& each) {
  for_each_between(mnl_nlmsg_get_payload_offset(message, sizeof(Family)),
                   static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)), each);
}
template <class Each>
void for_each_nested(const nlattr* outer, Each&& each) {
  const auto* first = static_cast<const char*>(mnl_attr_get_payload(outer));
  for_each_between(first, first + mnl_attr_get_payload_len(outer), each);
}

std::string text_of(const nlattr* attribute) {
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return {text, ::strnlen(text, mnl_attr_get_payload_len(attribute))};
}

template <class T>
T number_of(const nlattr* attribute) {
  T value{};
  if (mnl_attr_get_payload_len(attribute) >= sizeof(T)) std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(T));
  return value;
}

std::optional<IpAddress> ip_of(const nlattr* attribute) {
  const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(attribute));
  IpAddress ip;
  switch (mnl_attr_get_payload_len(attribute)) {
    case 4:
      return IpAddress::from_v4({load_be32(bytes)});
    case 16:
      std::copy_n(bytes, 16, ip.bytes.begin());
      return ip;
    default:
      return std::nullopt;
  }
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

Interface parse_interface(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  Interface out;
  out.index = info->ifi_index;
  out.flags = info->ifi_flags;
  for_each_attribute<ifinfomsg>(message, [&](unsigned type, const nlattr* attribute) {
    switch (type) {
      case IFLA_IFNAME:
        out.name = text_of(attribute);
        break;
      case IFLA_MASTER:
        out.master = number_of<int>(attribute);
        break;
      case IFLA_MTU:
        out.mtu = number_of<std::uint32_t>(attribute);
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
        });
        break;
      default:
        break;
    }
  });
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
      case RTA_MULTIPATH: {  // the first path stands for all
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

bool is_default(const Route& route) {
  return route.to.prefix == 0 && route.table == RT_TABLE_MAIN;
}

}  // namespace

bool is_container_bridge(const Interface& bridge, const std::vector<Interface>& all, const std::vector<Route>& routes) {
  if (bridge.kind != "bridge") return false;
  if (has_container_bridge_name(bridge.name)) return true;
  const auto leads_out = [&](const Route& r) { return is_default(r) && r.index == bridge.index; };
  const auto is_real_port = [&](const Interface& i) {
    return i.master == bridge.index && i.kind != "veth" && i.kind != "tun";
  };
  return std::ranges::none_of(routes, leads_out) && std::ranges::none_of(all, is_real_port);
}

std::optional<Gateway> default_gateway(NetlinkSocket& socket) {
  const auto interfaces = list_interfaces(socket);
  const auto routes = list_routes(socket);
  const auto addresses = list_addresses(socket, AF_INET);
  if (!interfaces || !routes || !addresses) return std::nullopt;
  const auto usable = [&](const Route& route) {
    const auto on = std::ranges::find(*interfaces, route.index, &Interface::index);
    return is_default(route) && route.gateway && route.gateway->is_v4() && on != interfaces->end() &&
           on->kind != "tun" && on->kind != "wireguard" && (on->flags & IFF_RUNNING) != 0;
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

Result<std::vector<Route>> list_routes(NetlinkSocket& socket) {
  NetlinkMessage request(RTM_GETROUTE, 0);
  request.family<rtmsg>().rtm_family = AF_INET;
  std::vector<Route> all;
  Result<void> dumped = socket.dump(request, "list the routes", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE) return;
    if (std::optional<Route> route = parse_route(message)) all.push_back(*route);
  });
  if (!dumped) return dumped.error();
  return all;
}

Result<std::string> find_collision(NetlinkSocket& socket, const Ip4Network& network, int own) {
  const auto all = list_interfaces(socket);
  const auto addresses = list_addresses(socket, AF_INET);
  const auto routes = list_routes(socket);
  if (!all) return all.error();
  if (!addresses) return addresses.error();
  if (!routes) return routes.error();
  const auto interface = [&](int index) { return std::ranges::find(*all, index, &Interface::index); };
  const auto on = [&](int index) {
    const auto it = interface(index);
    return " on " + (it == all->end() ? "interface " + std::to_string(index) : it->name);
  };
  const auto second_member = [&](int index, const Ip4Network& other) {
    const auto it = interface(index);
    return other == network && it != all->end() && it->kind == "tun";
  };
  for (const InterfaceAddress& a : *addresses) {
    if (a.index == own || !a.address.is_v4() || !a.prefix_address.is_v4()) continue;
    Ip4Network other{a.prefix_address.v4(), a.prefix};
    other.base.value &= other.mask();
    if (second_member(a.index, other)) continue;
    if (network.overlaps(other) || network.contains(a.address.v4())) {
      return to_string(a.address) + "/" + std::to_string(a.prefix) + on(a.index);
    }
  }
  for (const Route& route : *routes) {
    if (route.index == own || route.index == 0) continue;
    // Default routes, and the two halves of one that VPNs set instead (0.0.0.0/1 and 128.0.0.0/1), give way to ours.
    if (route.to.prefix <= 1 || !route.to.overlaps(network) || second_member(route.index, route.to)) continue;
    return "the route to " + to_string(route.to) + on(route.index);
  }
  return "";
}

}  // namespace eps::os
