#include "os/link.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>

#include "os/sys_error.h"

namespace eps::os {
namespace {

constexpr std::uint8_t kEui64 = 0;  // IN6_ADDR_GEN_MODE_EUI64
constexpr std::uint32_t kMinIp6Mtu = 1280;

Ip4Network network_of(Ip4 ip, std::uint8_t prefix) {
  Ip4Network network{ip, prefix};
  network.base.value &= network.mask();
  return network;
}

}  // namespace

NetlinkLink::NetlinkLink(std::string device, NetlinkSocket socket)
    : device_(std::move(device)), socket_(std::move(socket)) {}

Result<std::unique_ptr<NetlinkLink>> NetlinkLink::open(std::string device) {
  Result<NetlinkSocket> socket = NetlinkSocket::open();
  if (!socket) return socket.error();
  return std::unique_ptr<NetlinkLink>(new NetlinkLink(std::move(device), std::move(*socket)));
}

Result<void> NetlinkLink::configure(const ports::LinkConfig& config) {
  Result<std::vector<Interface>> all = list_interfaces(socket_);
  if (!all) return all.error();
  const auto own = std::find_if(all->begin(), all->end(), [&](const Interface& i) { return is_own(i); });
  if (own == all->end()) {
    return make_error(Errc::not_found, "cannot configure " + device_ + ": there is no such network interface");
  }
  index_ = own->index;
  device_ = own->name;
  const Result<std::string> with = find_collision(socket_, config.network, own->index);
  if (!with) return with.error();
  if (!with->empty()) {
    return make_error(Errc::in_use, "the EPS network " + to_string(config.network) + " overlaps " + *with +
                                        " of this computer; start eps-server with another --network, or take this "
                                        "computer out of the other one");
  }
  if (Result<void> r = configure_link(config, *own); !r) return r;
  if (Result<void> r = configure_address(config, own->index); !r) return r;
  if ((own->flags & IFF_UP) == 0) {
    if (Result<void> r = set_up(own->index, true); !r) return r;
  }
  return ensure_route(config, own->index);
}

// All but the addresses. The interface may be down after it, and `own` says so.
Result<void> NetlinkLink::configure_link(const ports::LinkConfig& config, Interface& own) {
  const bool new_mac = own.mac != config.mac;
  const bool set_mode = own.addr_gen_mode > kEui64 && config.mtu >= kMinIp6Mtu;
  // The link-local IPv6 address is derived when the interface comes up.
  if ((new_mac || set_mode) && (own.flags & IFF_UP) != 0) {
    if (Result<void> r = set_up(own.index, false); !r) return r;
    own.flags &= ~unsigned{IFF_UP};
  }
  if (new_mac || own.mtu != config.mtu || own.tx_queue_length != kTxQueueLength) {
    NetlinkMessage request(RTM_NEWLINK, 0);
    request.family<ifinfomsg>().ifi_index = own.index;
    if (new_mac) request.put(IFLA_ADDRESS, config.mac.bytes.data(), config.mac.bytes.size());
    if (own.mtu != config.mtu) request.put_u32(IFLA_MTU, config.mtu);
    request.put_u32(IFLA_TXQLEN, kTxQueueLength);
    Result<void> r = socket_.request(request, "set MAC address " + to_string(config.mac) + " and MTU " +
                                                  std::to_string(config.mtu) + " of " + device_);
    if (!r) return r;
  }
  if (!set_mode) return {};
  NetlinkMessage request(RTM_NEWLINK, 0);
  request.family<ifinfomsg>().ifi_index = own.index;
  nlattr* const specification = request.begin_nest(IFLA_AF_SPEC);
  nlattr* const ip6 = request.begin_nest(AF_INET6);
  request.put_u8(IFLA_INET6_ADDR_GEN_MODE, kEui64);
  request.end_nest(ip6);
  request.end_nest(specification);
  return socket_.request(request, "set how " + device_ + " derives its IPv6 address");
}

Result<void> NetlinkLink::set_up(int index, bool up) {
  NetlinkMessage request(RTM_NEWLINK, 0);
  ifinfomsg& info = request.family<ifinfomsg>();
  info.ifi_index = index;
  info.ifi_change = IFF_UP;
  info.ifi_flags = up ? unsigned{IFF_UP} : 0U;
  return socket_.request(request, std::string("set ") + device_ + (up ? " up" : " down"));
}

Result<void> NetlinkLink::configure_address(const ports::LinkConfig& config, int own) {
  Result<std::vector<InterfaceAddress>> present = list_addresses(socket_, AF_INET);
  if (!present) return present.error();
  const IpAddress wanted = IpAddress::from_v4(config.address);
  bool found = false;
  bool removed = false;
  for (const InterfaceAddress& address : *present) {
    if (address.index != own) continue;
    if (address.address == wanted && address.prefix == config.network.prefix) {
      found = true;
    } else {
      Result<void> r = change_address(RTM_DELADDR, 0, address.address.v4(), address.prefix, own);
      // The kernel removes secondary addresses with their primary.
      if (!r && r.error().sys != EADDRNOTAVAIL) return r;
      removed = true;
    }
  }
  // After a removal even one that was found may have gone with its primary; setting it again changes nothing.
  if (found && !removed) return {};
  return change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, config.address, config.network.prefix, own);
}

Result<void> NetlinkLink::change_address(std::uint16_t type, std::uint16_t flags, Ip4 address, std::uint8_t prefix,
                                         int own) {
  NetlinkMessage request(type, flags);
  ifaddrmsg& info = request.family<ifaddrmsg>();
  info.ifa_family = AF_INET;
  info.ifa_prefixlen = prefix;
  info.ifa_scope = RT_SCOPE_UNIVERSE;
  info.ifa_index = static_cast<unsigned>(own);
  request.put_u32(IFA_LOCAL, htonl(address.value));
  request.put_u32(IFA_ADDRESS, htonl(address.value));
  if (type == RTM_NEWADDR) request.put_u32(IFA_BROADCAST, htonl(network_of(address, prefix).broadcast().value));
  const std::string text = to_string(address) + "/" + std::to_string(prefix);
  return socket_.request(request, type == RTM_NEWADDR ? "add the address " + text + " to " + device_
                                                      : "remove the address " + text + " from " + device_);
}

// The kernel makes the route with the address; somebody may have removed it since.
Result<void> NetlinkLink::ensure_route(const ports::LinkConfig& config, int own) {
  Result<std::vector<Route>> routes = list_routes(socket_);
  if (!routes) return routes.error();
  for (const Route& route : *routes) {
    if (route.index == own && route.to == config.network && route.direct && route.table == RT_TABLE_MAIN &&
        route.source == IpAddress::from_v4(config.address)) {
      return {};
    }
  }
  NetlinkMessage add(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg& info = add.family<rtmsg>();
  info.rtm_family = AF_INET;
  info.rtm_dst_len = config.network.prefix;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = RTPROT_KERNEL;
  info.rtm_scope = RT_SCOPE_LINK;
  info.rtm_type = RTN_UNICAST;
  add.put_u32(RTA_DST, htonl(config.network.base.value));
  add.put_u32(RTA_OIF, static_cast<std::uint32_t>(own));
  add.put_u32(RTA_PREFSRC, htonl(config.address.value));
  return socket_.request(add, "add the route to " + to_string(config.network) + " through " + device_);
}

std::vector<IpAddress> NetlinkLink::local_addresses() {
  std::vector<IpAddress> out;
  const Result<std::vector<Interface>> all = list_interfaces(socket_);
  const Result<std::vector<InterfaceAddress>> present = list_addresses(socket_, AF_UNSPEC);
  const Result<std::vector<Route>> routes = list_routes(socket_);
  if (!all || !present || !routes)
    return out;  // asked again at the next change; without candidates peers meet through the server
  constexpr std::uint32_t kUnusable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  constexpr unsigned kLive = IFF_UP | IFF_RUNNING;  // running: the cable is in
  for (const InterfaceAddress& address : *present) {
    const auto on =
        std::find_if(all->begin(), all->end(), [&](const Interface& i) { return i.index == address.index; });
    if (on == all->end() || is_own(*on) || is_container_bridge(*on, *all, *routes)) continue;
    if ((on->flags & kLive) != kLive || (on->flags & IFF_LOOPBACK) != 0 || (address.flags & kUnusable) != 0) continue;
    const IpAddress& ip = address.address;
    if (ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()) continue;
    out.push_back(ip);
  }
  return out;
}

}  // namespace eps::os
