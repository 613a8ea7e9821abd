// SPDX-License-Identifier: MIT
#include "os/link.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/limits.h"
#include "os/netlink_attributes.h"
#include "os/source_routes.h"
#include "os/sys_error.h"

namespace eps::os {
namespace {

constexpr std::uint8_t kEui64 = 0;                         // IN6_ADDR_GEN_MODE_EUI64
constexpr auto kTellAgainAfter = std::chrono::minutes(1);  // interval for logging the same repair

Ip4Network network_of(Ip4 ip, std::uint8_t prefix) {
  Ip4Network network{ip, prefix};
  network.base.value &= network.mask();
  return network;
}

Ip4Network host(Ip4 ip) {
  return {ip, 32};
}

// Of the resolver, and of systemd-resolved behind it.
std::set<IpAddress> nameservers() {
  std::set<IpAddress> out;
  for (const char* path : {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string key, value;
      if (words >> key >> value && key == "nameserver") {
        if (const auto ip = parse_ip(value)) out.insert(*ip);
      }
    }
  }
  return out;
}

}  // namespace

NetlinkLink::NetlinkLink(std::string device, std::string bridge, NetlinkSocket socket)
    : device_(std::move(device)), bridge_(std::move(bridge)), socket_(std::move(socket)), routes_(socket_) {}

Result<std::unique_ptr<NetlinkLink>> NetlinkLink::open(std::string device, std::string bridge) {
  Result<NetlinkSocket> socket = NetlinkSocket::open();
  if (!socket) return socket.error();
  return std::unique_ptr<NetlinkLink>(new NetlinkLink(std::move(device), std::move(bridge), std::move(*socket)));
}

const Interface* NetlinkLink::find_own(const KernelView& kernel) const {
  const auto own = std::ranges::find_if(kernel.interfaces, [&](const Interface& i) { return is_own(i); });
  return own == kernel.interfaces.end() ? nullptr : &*own;
}

Result<void> NetlinkLink::configure(const ports::LinkConfig& config) {
  Result<KernelView> kernel = look_at_kernel(socket_);
  if (!kernel) return kernel.error();
  const Interface* const found = find_own(*kernel);
  if (found == nullptr) {
    if (missing_) {  // moved to another network namespace, and configured there
      set_ = config;
      return {};
    }
    return make_error(Errc::not_found, "cannot configure " + device_ + ": there is no such network interface");
  }
  Interface own = *found;
  index_ = own.index;
  device_ = own.name;
  if (Result<void> r = configure_link(config, own); !r) return r;
  const Interface* const bridge = find_bridge(*kernel);
  if (bridge != nullptr && own.master != bridge->index) {
    if (Result<void> r = join_bridge(*bridge, own); !r) return r;
    own.master = bridge->index;
  }
  if (Result<void> r = clean_address(*kernel, config, own); !r) return r;
  const std::optional<ports::LinkConfig> before = std::exchange(set_, config);
  if ((own.flags & IFF_UP) == 0) {
    if (Result<void> r = set_up(own.index, true); !r) return r;
  }
  return clean_address6(*kernel, before, own);
}

int NetlinkLink::home(const KernelView& kernel, const Interface& own) const {
  const Interface* const bridge = find_bridge(kernel);
  return bridge == nullptr ? own.index : bridge->index;
}

// Everything but the addresses. The interface may be down afterwards, and `own` says so.
Result<void> NetlinkLink::configure_link(const ports::LinkConfig& config, Interface& own) {
  const bool first = !set_;
  // A bridge consumes frames for the MAC of a port. A user who gave the port another MAC has a machine with the
  // member's MAC behind the bridge.
  const bool new_mac = own.mac != config.mac && (first || own.master == 0 || set_->mac != config.mac);
  const bool new_mtu = own.mtu != config.mtu && (first || set_->mtu != config.mtu);
  const bool set_mode = (first || new_mtu) && own.addr_gen_mode > kEui64 && config.mtu >= kMinIp6Mtu;
  // The link-local IPv6 address is derived when the interface comes up.
  if ((new_mac || set_mode) && (own.flags & IFF_UP) != 0) {
    if (Result<void> r = set_up(own.index, false); !r) return r;
    own.flags &= ~unsigned{IFF_UP};
  }
  const bool new_queue = first && own.tx_queue_length != kTxQueueLength;
  if (new_mac || new_mtu || new_queue || own.group != kEpsGroup) {
    NetlinkMessage request(RTM_NEWLINK, 0);
    request.family<ifinfomsg>().ifi_index = own.index;
    if (new_mac) request.put(IFLA_ADDRESS, config.mac.bytes.data(), config.mac.bytes.size());
    if (new_mtu) request.put_u32(IFLA_MTU, config.mtu);
    if (new_queue) request.put_u32(IFLA_TXQLEN, kTxQueueLength);
    if (own.group != kEpsGroup) request.put_u32(IFLA_GROUP, kEpsGroup);
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

Result<void> NetlinkLink::set_flag_off(int index, unsigned flag, const std::string& tried) {
  NetlinkMessage request(RTM_NEWLINK, 0);
  ifinfomsg& info = request.family<ifinfomsg>();
  info.ifi_index = index;
  info.ifi_change = flag;
  return socket_.request(request, tried);
}

Result<void> NetlinkLink::set_group(int index, std::uint32_t group) {
  NetlinkMessage request(RTM_NEWLINK, 0);
  request.family<ifinfomsg>().ifi_index = index;
  request.put_u32(IFLA_GROUP, group);
  return socket_.request(request, "set the group of an interface");
}

// Removes the address set before, or left by an earlier run on an interface that outlived it, and sets the new one.
// Addresses that others added stay.
Result<void> NetlinkLink::clean_address(const KernelView& kernel, const ports::LinkConfig& config,
                                        const Interface& own) {
  const int home = this->home(kernel, own);
  bool found = false, elsewhere = false, removed = false;
  for (const InterfaceAddress& address : kernel.addresses) {
    if (!address.address.is_v4()) continue;
    const Ip4 ip = address.address.v4();
    if (!set_ && ip == config.address && is_left_over(address, own, home)) {
      (void)change_address(RTM_DELADDR, 0, ip, address.prefix, address.index);
      continue;
    }
    if (ip == config.address && address.prefix == config.network.prefix &&
        (address.index != own.index || home == own.index)) {
      found |= address.index == home;
      elsewhere |= own.master != 0 && address.index == own.master;
      continue;
    }
    const bool stale = set_ ? ip == set_->address && address.prefix == set_->network.prefix
                            : network_of(ip, address.prefix) == config.network;
    const bool ours = address.index == own.index || (set_ && address.index == home);
    if (!ours || !stale) continue;
    Result<void> r = change_address(RTM_DELADDR, 0, ip, address.prefix, address.index);
    if (!r && r.error().sys != EADDRNOTAVAIL) return r;
    removed = true;
  }
  // A removal may also have removed a secondary address; setting it again is harmless.
  address_on_ = home;
  const bool taken_off = home == own.index && set_ && set_->address == config.address && own.master != 0 && !removed;
  if (withheld_ || taken_off || (elsewhere && !found) || (found && !removed)) return {};
  return change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, config.address, config.network.prefix, home);
}

Result<void> NetlinkLink::change_address(std::uint16_t type, std::uint16_t flags, Ip4 address, std::uint8_t prefix,
                                         int index) {
  NetlinkMessage request(type, flags);
  ifaddrmsg& info = request.family<ifaddrmsg>();
  info.ifa_family = AF_INET;
  info.ifa_prefixlen = prefix;
  info.ifa_scope = RT_SCOPE_UNIVERSE;
  info.ifa_index = static_cast<unsigned>(index);
  request.put_u32(IFA_LOCAL, htonl(address.value));
  request.put_u32(IFA_ADDRESS, htonl(address.value));
  if (type == RTM_NEWADDR) request.put_u32(IFA_BROADCAST, htonl(network_of(address, prefix).broadcast().value));
  if (index != index_) request.put_u8(kAddressProtocol, kEpsProtocol);
  const std::string text = to_string(address) + "/" + std::to_string(prefix);
  const std::string where = info.ifa_index == static_cast<unsigned>(index_) ? device_ : bridge_;
  return socket_.request(request, type == RTM_NEWADDR ? "add the address " + text + " to " + where
                                                      : "remove the address " + text + " from " + where);
}

// The network's route looks as the kernel makes it with the address; a member's route is marked as ours.
Result<void> NetlinkLink::change_route(std::uint16_t type, const Ip4Network& to, int own) {
  // The same route through another EPS interface is to stay.
  const int beside = NLM_F_CREATE | (shared_ ? NLM_F_APPEND : NLM_F_REPLACE);
  NetlinkMessage request(type, static_cast<std::uint16_t>(type == RTM_NEWROUTE ? beside : 0));
  rtmsg& info = request.family<rtmsg>();
  info.rtm_family = AF_INET;
  info.rtm_dst_len = to.prefix;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = to.prefix == 32 ? kEpsProtocol : std::uint8_t{RTPROT_KERNEL};
  info.rtm_scope = RT_SCOPE_LINK;
  info.rtm_type = RTN_UNICAST;
  request.put_u32(RTA_DST, htonl(to.base.value));
  request.put_u32(RTA_OIF, static_cast<std::uint32_t>(own));
  request.put_u32(RTA_PREFSRC, htonl(set_->address.value));
  const std::string text = "the route to " + to_string(to) + " through " + device_;
  Result<void> done = socket_.request(request, (type == RTM_NEWROUTE ? "add " : "remove ") + text);
  if (!done && done.error().sys == (type == RTM_DELROUTE ? ESRCH : EEXIST)) return {};
  return done;
}

void NetlinkLink::forget_neighbour(Ip4 address) {
  NetlinkMessage request(RTM_DELNEIGH, 0);
  ndmsg& info = request.family<ndmsg>();
  info.ndm_family = AF_INET;
  info.ndm_ifindex = index_;
  request.put_u32(NDA_DST, htonl(address.value));
  (void)socket_.request(request, "forget a neighbour");  // it may not know one
}

void NetlinkLink::update_members(const std::map<MemberId, std::optional<Neighbour>>& changed) {
  for (const auto& [id, is] : changed) {
    const auto was = members_.find(id);
    if (was != members_.end() && was->second != is && index_ != 0) forget_neighbour(was->second.address);
    if (is) {
      members_.insert_or_assign(id, *is);
    } else if (was != members_.end()) {
      members_.erase(was);
    }
  }
}

void NetlinkLink::set_members(const std::map<MemberId, std::optional<Neighbour>>& members) {
  auto changed = members;
  for (const auto& [id, was] : members_) changed.try_emplace(id);
  update_members(changed);
}

// --- what should be, and what is -----------------------------------------------------------------------------------

NetlinkLink::Report NetlinkLink::reconcile(Instant now) {
  Report report;
  Result<KernelView> kernel = look_at_kernel(socket_);
  if (!kernel) {
    report.troubles.push_back(kernel.error().what);
    report.again = now + std::chrono::seconds(1);  // without candidates peers meet through the server
    return report;
  }
  const Interface* const own = find_own(*kernel);
  if (set_) {
    if ((own == nullptr) != missing_) {
      missing_ = own == nullptr;
      report.notes.push_back(missing_ ? device_ + " is no longer in this network namespace: it is left as it is."
                                      : device_ + " is back in this network namespace.");
    }
    if (own != nullptr) {
      device_ = own->name;
      repair(*kernel, *own, report, now);
    }
  }
  const std::set<int> inside = inside_interfaces(*kernel, kEpsGroup, own == nullptr ? 0 : own->index);
  group_stacked(*kernel, inside);
  const Result<void> rules = routes_.reconcile(kernel->interfaces, inside);
  if (!rules && rules.error().what != rules_error_) {
    report.notes.push_back(rules.error().what + ": a route through " + device_ + " may cut the conduits off.");
  }
  rules_error_ = rules ? "" : rules.error().what;
  if (!rules) report.troubles.push_back(rules_error_ + ": a route through " + device_ + " may cut the conduits off.");

  tell_filter(*kernel, inside, report);
  report.underlay.addresses = underlay_addresses(*kernel, inside);
  // On a bridge with a port to the outside it still leads inside.
  if (set_) {
    std::erase(report.underlay.addresses, IpAddress::from_v4(set_->address));
    std::erase(report.underlay.addresses, set_->address6);
  }
  std::string unplugged;
  for (const InterfaceAddress& address : kernel->addresses) {
    const Interface* const on = kernel->interface(address.index);
    if (on == nullptr) continue;
    // After a repair just now, the next call sees it.
    if (set_ && address.address == IpAddress::from_v4(set_->address)) report.address_on = on->name;
    // Bridges and TAPs lack a carrier whenever nobody uses them.
    const bool cable = on->kind != "bridge" && !is_tunnel(*on) && !inside.contains(on->index);
    if (cable && (on->flags & (IFF_UP | IFF_RUNNING)) == IFF_UP) unplugged = on->name;
    if (address.address.is_link_local() || address.address.is_loopback()) continue;
    if (inside.contains(address.index)) {
      report.underlay.inside.push_back(prefix_of(address));
    } else if (is_tunnel(*on)) {
      report.underlay.tunnels.push_back(prefix_of(address));
    }
  }
  for (const int index : inside) report.inside.push_back(static_cast<std::uint32_t>(index));
  for (const int index : uplinks(*kernel, inside)) report.uplinks.push_back(static_cast<std::uint32_t>(index));

  if (report.underlay.addresses.empty() && !unplugged.empty()) {
    report.troubles.push_back("No network interface of this computer is connected: " + unplugged +
                              " has no carrier. Is its cable in, or its other end down?");
  }
  if (missing_) report.troubles.push_back(device_ + " is not in this network namespace; it is left as it is.");
  if (withheld_) {
    report.troubles.push_back(
        "The EPS address " + to_string(set_->address) +
        " is also that of a gateway of this computer: it is not used until the computer leaves that "
        "network.");
  }
  tell_repairs(report, now);
  return report;
}

void NetlinkLink::tell_repairs(Report& report, Instant now) {
  while (!repairs_.empty() && now - repairs_.front() > kGoesOnWindow) repairs_.pop_front();
  if (repair_count_ == 0 || now - last_repair_at_ >= kToldFor) return;
  const auto times = [](std::size_t n) { return n == 1 ? std::string("once") : std::to_string(n) + " times"; };
  const bool goes_on = repairs_.size() >= kGoesOn && repairs_.back() - repairs_.front() >= kGoesOnSpan;
  std::string what = "Another program changed " + device_ + " " + times(repair_count_) + "; it was restored. ";
  if (goes_on) {
    what = "Another program keeps changing " + device_ + ": " + times(repairs_.size()) + " within the last minute, " +
           std::to_string(repair_count_) + " in all. Each time it is restored, and until then nothing passes. ";
    // It may end without another change.
    report.again = std::min(report.again, repairs_.front() + kGoesOnWindow + std::chrono::milliseconds(1));
  }
  report.troubles.push_back(what + "Last: " + last_repair_ + ". Find what configures it (NetworkManager, networkd, " +
                            "dhcpcd; ip monitor shows when) and make it ignore " + device_ + ".");
}

// The kernel looks up the route back to a sender without our mark. If that leads to an EPS interface, a strict reverse
// path filter (RFC 3704) drops what the sender sends us directly.
void NetlinkLink::tell_filter(const KernelView& kernel, const std::set<int>& inside, Report& report) {
  const bool wide =
      std::ranges::any_of(kernel.routes, [&](const Route& r) { return r.to.prefix <= 1 && inside.contains(r.index); });
  const auto strictness = [](const std::string& interface) {
    int value = 0;
    std::ifstream("/proc/sys/net/ipv4/conf/" + interface + "/rp_filter") >> value;
    return value;
  };
  std::string filtered;
  for (const int index : wide ? uplinks(kernel, inside) : std::vector<int>()) {
    const Interface* const uplink = kernel.interface(index);
    if (uplink != nullptr && std::max(strictness("all"), strictness(uplink->name)) == 1) filtered = uplink->name;
  }
  const std::string sentence =
      "A default route leads through " + device_ + ", and the strict reverse path filter of " + filtered +
      " drops what peers and server send to this computer: sysctl -w net.ipv4.conf." + filtered + ".rp_filter=2";
  if (!filtered.empty() && filtered != filtered_) report.notes.push_back(sentence);
  if (!filtered.empty()) report.troubles.push_back(sentence);
  filtered_ = filtered;
}

bool NetlinkLink::may_repair(const std::string& what, Report& report, Instant now) {
  if (std::ssize(repairs_) >= kMaxRepairs && now - repairs_.end()[-kMaxRepairs] <= kRepairWindow) {
    report.again = repairs_.end()[-kMaxRepairs] + kRepairWindow + std::chrono::milliseconds(1);
    return false;
  }
  repairs_.push_back(now);
  ++repair_count_;
  last_repair_ = what;
  last_repair_at_ = now;
  const auto [it, first] = told_.emplace(what, now);
  if (first || now - it->second >= kTellAgainAfter) {
    it->second = now;
    report.notes.push_back("Another program changed " + device_ + ": " + what + "; restored.");
  }
  return true;
}

void NetlinkLink::done(const Result<void>& result, Report& report) {
  if (!result) report.notes.push_back(result.error().what);
}

void NetlinkLink::repair(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  repair_link(own, report, now);
  repair_bridge(kernel, own, report, now);
  const Collision collision =
      find_collision(kernel, set_->network, IpAddress::from_v4(set_->address), own.index, own.master);
  tell_collision(to_string(set_->network), collision, collision_, report);
  look_for_twins(kernel, own, report);
  repair_address(kernel, own, report, now);
  repair_address6(kernel, own, report, now);
  repair_routes(kernel, own, report, now);
}

void NetlinkLink::tell_collision(const std::string& network, const Collision& collision, std::string& before,
                                 Report& report) {
  const bool own = !collision.remedy.empty();
  const std::string what = own ? kOwnElsewhere + collision.with + ": "
                               : "The EPS network " + network + " overlaps " + collision.with + " of this computer: ";
  const std::string members = "only the members themselves are reached through " + device_;
  if (collision.with.empty() && !before.empty()) {
    report.notes.push_back("Nothing else has addresses of the EPS network " + network +
                           " any more: all of it is reached through " + device_ + ".");
  } else if (collision.with != before) {
    report.notes.push_back(what + "its route yields, and " + members + ". " +
                           (own ? collision.remedy : "Start eps-server with another --network to be rid of it."));
  }
  before = collision.with;
  if (before.empty()) return;
  report.troubles.push_back(
      what + members +
      (own ? ". " + collision.remedy : ", and the gateway and the name servers of the other network go before them."));
}

void NetlinkLink::repair_link(const Interface& own, Report& report, Instant now) {
  if (own.group != kEpsGroup) done(set_group(own.index, kEpsGroup), report);
  if (own.mac != set_->mac && own.master == 0 && may_repair("its MAC address was " + to_string(own.mac), report, now)) {
    NetlinkMessage request(RTM_NEWLINK, 0);
    request.family<ifinfomsg>().ifi_index = own.index;
    request.put(IFLA_ADDRESS, set_->mac.bytes.data(), set_->mac.bytes.size());
    done(socket_.request(request, "set the MAC address of " + device_), report);
  }
  // A TAP without a queue takes no frame. Any other length is the user's to choose.
  if (own.tx_queue_length == 0 && may_repair("its queue had no length", report, now)) {
    NetlinkMessage request(RTM_NEWLINK, 0);
    request.family<ifinfomsg>().ifi_index = own.index;
    request.put_u32(IFLA_TXQLEN, kTxQueueLength);
    done(socket_.request(request, "set the queue length of " + device_), report);
  }
  if ((own.flags & IFF_NOARP) != 0 && may_repair("ARP was off", report, now)) {
    done(set_flag_off(own.index, IFF_NOARP, "switch ARP on at " + device_), report);
  }
  if ((own.flags & IFF_UP) == 0 && may_repair("it was down", report, now)) done(set_up(own.index, true), report);
}

// Addresses that must stay reachable in a network that has the same ones.
std::set<IpAddress> NetlinkLink::reserved(const KernelView& kernel, int own) const {
  std::set<IpAddress> out = nameservers();
  for (const auto* routes : {&kernel.routes, &kernel.ip6_defaults}) {
    for (const Route& route : *routes) {
      if (route.index != own && route.gateway) out.insert(*route.gateway);
    }
  }
  for (const InterfaceAddress& address : kernel.addresses) {
    if (address.index != own) out.insert(address.address);
  }
  return out;
}

void NetlinkLink::repair_address(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  const int home = this->home(kernel, own);
  bool found = false, elsewhere = false, left_behind = false, has_moved = home != own.index;
  for (const InterfaceAddress& address : kernel.addresses) {
    if (address.address != IpAddress::from_v4(set_->address)) continue;
    const bool whole = address.prefix == set_->network.prefix;
    left_behind |= address.index == own.index;
    has_moved |= address.index == own.master && whole;
    if (address.index == home) {
      found |= whole;
    } else {
      elsewhere |= own.master != 0 && address.index == own.master;  // moved to a bridge, as guides to bridging say
    }
  }
  const bool is_gateway = std::ranges::any_of(kernel.routes, [&](const Route& r) {
    return r.index != own.index && r.gateway == IpAddress::from_v4(set_->address);
  });
  if (is_gateway != withheld_) {
    withheld_ = is_gateway;
    report.notes.push_back(withheld_ ? "The EPS address " + to_string(set_->address) +
                                           " is also the gateway's of a network that this computer is in: it is given "
                                           "up until the computer has left it."
                                     : "The EPS address " + to_string(set_->address) + " is used again.");
    if (withheld_ && found) {
      return done(change_address(RTM_DELADDR, 0, set_->address, set_->network.prefix, home), report);
    }
    if (!withheld_ && !found && !elsewhere) {
      return done(change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address, set_->network.prefix, home),
                  report);
    }
  }
  if (left_behind && has_moved) {
    done(change_address(RTM_DELADDR, 0, set_->address, set_->network.prefix, own.index), report);
  }
  // A port of a bridge needs no address, and the kernel would answer for a machine behind the bridge.
  const bool moved = std::exchange(address_on_, home) != home;
  if (withheld_ || found || elsewhere || (home == own.index && own.master != 0)) return;
  const std::string text = to_string(set_->address) + "/" + std::to_string(set_->network.prefix);
  if (moved || may_repair("the address " + text + " was gone", report, now)) {
    done(change_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address, set_->network.prefix, home), report);
  }
}

void NetlinkLink::repair_routes(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  // The kernel makes the network's route with the address: its present state is newer than `kernel`.
  const Result<std::vector<InterfaceAddress>> addresses = list_addresses(socket_, AF_INET);
  const Result<std::vector<Route>> routes = list_routes(socket_);
  if (!addresses || !routes) return;
  const bool has_address = std::ranges::any_of(*addresses, [&](const InterfaceAddress& a) {
    return a.index == own.index && a.address == IpAddress::from_v4(set_->address);
  });
  bool network_route = false;
  std::set<Ip4> hosts, wanted;
  for (const Route& route : *routes) {
    if (route.index != own.index || route.table != RT_TABLE_MAIN) continue;
    if (route.to == set_->network && route.direct && route.source == IpAddress::from_v4(set_->address)) {
      network_route = true;
    }
    if (route.to.prefix == 32 && route.protocol == kEpsProtocol) hosts.insert(route.to.base);
  }
  if (yields() && has_address) {
    const std::set<IpAddress> others = reserved(kernel, own.index);
    for (const auto& [id, member] : members_) {
      if (member.address == set_->address || others.contains(IpAddress::from_v4(member.address))) continue;
      wanted.insert(member.address);
    }
  }
  for (const Ip4 ip : wanted) {
    if (!hosts.contains(ip)) done(change_route(RTM_NEWROUTE, host(ip), own.index), report);
  }
  for (const Ip4 ip : hosts) {
    if (!wanted.contains(ip)) done(change_route(RTM_DELROUTE, host(ip), own.index), report);
  }
  if (!has_address) return;
  if (yields()) {
    if (network_route) done(change_route(RTM_DELROUTE, set_->network, own.index), report);
  } else if (!network_route) {
    // Not caused by others if the kernel or we removed it together with something else.
    const bool was_there = repair_count_ == 0 || last_repair_at_ != now;
    if (hosts.empty() && was_there &&
        !may_repair("the route to " + to_string(set_->network) + " was gone", report, now)) {
      return;
    }
    done(change_route(RTM_NEWROUTE, set_->network, own.index), report);
  }
}

// So that the rules know what is stacked upon an EPS interface. Interfaces in the user's groups stay there.
void NetlinkLink::group_stacked(const KernelView& kernel, const std::set<int>& inside) {
  for (const Interface& i : kernel.interfaces) {
    if (i.index == index_ || i.kind == "tun") continue;
    const bool is_inside = inside.contains(i.index);
    if (is_inside && i.group == 0) (void)set_group(i.index, kEpsGroup);
    if (!is_inside && i.group == kEpsGroup) (void)set_group(i.index, 0);
  }
}

void NetlinkLink::restore() {
  const Result<std::vector<Interface>> all = list_interfaces(socket_);
  const bool another = all && std::ranges::any_of(*all, [&](const Interface& i) { return !is_own(i) && is_eps(i); });
  if (!another) routes_.remove();
  if (shared_) (void)set_source_routes(socket_, index_, {});
  // The address disappears with the interface, but not the one on a bridge.
  const bool on_bridge = all && address_on_ != index_ &&
                         std::ranges::any_of(*all, [&](const Interface& i) { return i.index == address_on_; });
  if (set_ && on_bridge) remove_addresses6(address_on_);
  if (set_ && on_bridge) (void)change_address(RTM_DELADDR, 0, set_->address, set_->network.prefix, address_on_);
}

}  // namespace eps::os
