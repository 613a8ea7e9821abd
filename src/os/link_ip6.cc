// SPDX-License-Identifier: MIT

// The IPv6 address of the EPS interface and the routes that belong to it; os/link.cc keeps everything else.

#include <linux/if_addr.h>
#include <linux/ipv6_route.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "base/ip_network.h"
#include "base/limits.h"
#include "model/network.h"
#include "os/link.h"
#include "os/netlink_attributes.h"

namespace eps::os {
namespace {

constexpr std::uint8_t kPrefix6 = 64;

IpNetwork network6(const IpAddress& address) {
  IpNetwork network{{}, kPrefix6};
  std::copy_n(address.bytes.begin(), kPrefix6 / 8, network.base.bytes.begin());
  return network;
}

// Peers know it from the member list.
IpAddress link_local(const Mac& mac) {
  return address6_of(network6(*parse_ip("fe80::")), mac);
}

// Where the interface `index` leads: the networks of 64 bits, and the addresses that we made a route to. nullopt if the
// kernel does not say.
std::optional<std::set<IpNetwork>> routes6(NetlinkSocket& socket, int index) {
  NetlinkMessage request(RTM_GETROUTE, 0);
  request.family<rtmsg>().rtm_family = AF_INET6;
  std::set<IpNetwork> found;
  const auto dumped = socket.dump(request, "list the routes of IPv6", [&](const nlmsghdr* message) {
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    const bool member = info->rtm_dst_len == 128 && info->rtm_protocol == kEpsProtocol;
    if (message->nlmsg_type != RTM_NEWROUTE || info->rtm_table != RT_TABLE_MAIN) return;
    if (info->rtm_dst_len != kPrefix6 && !member) return;
    std::optional<IpAddress> to;
    bool ours = false;
    for_each_attribute<rtmsg>(message, [&](unsigned type, const nlattr* attribute) {
      if (type == RTA_DST) to = ip_of(attribute);
      if (type == RTA_OIF) ours = number_of<int>(attribute) == index;
    });
    if (ours && to) found.insert({*to, info->rtm_dst_len});
  });
  if (!dumped) return std::nullopt;
  return found;
}

// What of this computer has addresses of the network of `address` besides. `own` and `bridge` as in find_collision().
// Whatever leads to such a network without an address in it does no harm: the route to 64 bits is nearly always the
// narrower one.
Collision find_collision6(const KernelView& kernel, const IpAddress& address, int own, int bridge) {
  for (const InterfaceAddress& a : kernel.addresses) {
    const Interface* const on = kernel.interface(a.index);
    if (on == nullptr || a.index == own || (bridge != 0 && a.index == bridge) || is_eps(*on)) continue;
    if (!prefix_of(a).contains(address) && !network6(address).contains(a.address)) continue;
    return collision_with(kernel, a, address, own);
  }
  return {};
}

}  // namespace

Result<void> NetlinkLink::change_address6(std::uint16_t type, std::uint16_t flags, const IpAddress& address,
                                          int index) {
  NetlinkMessage request(type, flags);
  ifaddrmsg& info = request.family<ifaddrmsg>();
  info.ifa_family = AF_INET6;
  info.ifa_prefixlen = kPrefix6;
  info.ifa_flags = IFA_F_NODAD;
  info.ifa_scope = RT_SCOPE_UNIVERSE;
  info.ifa_index = static_cast<unsigned>(index);
  request.put(IFA_ADDRESS, address.bytes.data(), address.bytes.size());
  if (index != index_) request.put_u8(kAddressProtocol, kEpsProtocol);
  const std::string where = index == index_ ? device_ : bridge_;
  return socket_.request(request, (type == RTM_NEWADDR ? "add the address " : "remove the address ") +
                                      to_string(address) + (type == RTM_NEWADDR ? " to " : " from ") + where);
}

// Whether the interface takes an IPv6 address now. The kernel removes all IPv6 from an interface whose MTU gets too
// small or that IPv6 is switched off for, and brings only addresses of its own back.
bool NetlinkLink::takes_ip6(const Interface& home, Report& report) const {
  if (set_->address6.is_unspecified() || set_->mtu < kMinIp6Mtu) return false;
  if (home.mtu < kMinIp6Mtu) {
    const std::string mtu = std::to_string(home.mtu);
    const std::string sentence = "There is no IPv6 on " + home.name + ": somebody gave it an MTU of " + mtu +
                                 ", and IPv6 needs " + std::to_string(kMinIp6Mtu) + ": ip link set " + home.name +
                                 " mtu " + std::to_string(set_->mtu);
    report.troubles.push_back(sentence);
    if (!no_ip6_) report.notes.push_back(sentence);
    return false;
  }
  int off = 1;
  std::ifstream("/proc/sys/net/ipv6/conf/" + home.name + "/disable_ipv6") >> off;
  return off == 0;
}

// As clean_address(), for IPv6. The kernel drops such an address with each time the interface goes down.
Result<void> NetlinkLink::clean_address6(const KernelView& kernel, const std::optional<ports::LinkConfig>& before,
                                         const Interface& own) {
  const int home = this->home(kernel, own);
  for (const InterfaceAddress& address : kernel.addresses) {
    const auto is_of = [&](const ports::LinkConfig& config) {
      return address.address == config.address6 ||
             (address.protocol == kEpsProtocol && address.address == link_local(config.mac));
    };
    const bool ours = is_of(*set_), stale = before && is_of(*before) && !ours;
    const bool left_behind = ours && address.index == own.index && home != own.index;
    const bool left_over = ours && !before && is_left_over(address, own, home);
    if ((address.index != home || !stale) && !left_behind && !left_over) continue;
    (void)change_address6(RTM_DELADDR, 0, address.address, address.index);  // it may have gone by itself
  }
  no_ip6_ = set_->address6.is_unspecified() || set_->mtu < kMinIp6Mtu;
  if (no_ip6_ || (before && before->address6 == set_->address6 && home == own.index && own.master != 0)) return {};
  // Where IPv6 is switched off, there is none.
  no_ip6_ = !change_address6(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address6, home);
  return {};
}

// What peers send to the member's link-local address reaches the bridge, whose own may be another.
void NetlinkLink::repair_link_local(const KernelView& kernel, int home) {
  const IpAddress wanted = link_local(set_->mac);
  const auto found = std::ranges::find_if(
      kernel.addresses, [&](const InterfaceAddress& a) { return a.index == home && a.address == wanted; });
  const bool ours = found == kernel.addresses.end()
                        ? change_address6(RTM_NEWADDR, NLM_F_CREATE, wanted, home).has_value()
                        : found->protocol == kEpsProtocol;
  gave_link_local_ |= ours;
}

void NetlinkLink::remove_addresses6(int bridge) {
  if (!no_ip6_) (void)change_address6(RTM_DELADDR, 0, set_->address6, bridge);
  if (gave_link_local_) (void)change_address6(RTM_DELADDR, 0, link_local(set_->mac), bridge);
}

void NetlinkLink::repair_address6(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  const int home = this->home(kernel, own);
  bool found = false, elsewhere = false, left_behind = false, has_moved = home != own.index;
  for (const InterfaceAddress& address : kernel.addresses) {
    if (address.address != set_->address6) continue;
    found |= address.index == home;
    elsewhere |= address.index != home;
    left_behind |= address.index == own.index;
    has_moved |= address.index == own.master;
  }
  if (left_behind && has_moved) {
    done(change_address6(RTM_DELADDR, 0, set_->address6, own.index), report);
    found &= home != own.index;
    tell_collision(to_string(network6(set_->address6)), {}, collision6_, report);
    for (const IpNetwork& to : routes6(socket_, own.index).value_or(std::set<IpNetwork>())) {
      if (to.length == 128) done(change_route6(RTM_DELROUTE, to, own.index), report);
    }
  }
  if (found) repair_routes6(kernel, own, report, now);
  if (found && home != own.index) repair_link_local(kernel, home);
  const Interface* const on = kernel.interface(home);
  const bool had_ip6 = !std::exchange(no_ip6_, on == nullptr || !takes_ip6(*on, report));
  if (no_ip6_ || found || (home == own.index && (elsewhere || own.master != 0))) return;
  // The address goes away with the interface's state and place, and the repair of those reports the cause. With IPv6
  // itself it comes back as it went.
  const bool caused = repair_count_ > 0 && now - last_repair_at_ < std::chrono::seconds(1);
  if (had_ip6 && !caused && home == own.index &&
      !may_repair("the address " + to_string(set_->address6) + " was gone", report, now)) {
    return;
  }
  no_ip6_ = !change_address6(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address6, home);
}

// The network's route looks as the kernel makes it with the address; a member's route is marked as ours. The same route
// through another interface stays.
Result<void> NetlinkLink::change_route6(std::uint16_t type, const IpNetwork& to, int home) {
  NetlinkMessage request(type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_APPEND : 0);
  rtmsg& info = request.family<rtmsg>();
  info.rtm_family = AF_INET6;
  info.rtm_dst_len = to.length;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = to.length == kPrefix6 ? std::uint8_t{RTPROT_KERNEL} : kEpsProtocol;
  info.rtm_type = RTN_UNICAST;
  request.put(RTA_DST, to.base.bytes.data(), to.base.bytes.size());
  request.put_u32(RTA_OIF, static_cast<std::uint32_t>(home));
  request.put_u32(RTA_PRIORITY, IP6_RT_PRIO_ADDRCONF);
  if (to.length != kPrefix6) request.put(RTA_PREFSRC, set_->address6.bytes.data(), set_->address6.bytes.size());
  const std::string text = "the route to " + to_string(to) + " through " + device_;
  Result<void> done = socket_.request(request, (type == RTM_NEWROUTE ? "add " : "remove ") + text);
  if (!done && done.error().sys == (type == RTM_DELROUTE ? ESRCH : EEXIST)) return {};
  return done;
}

// The kernel makes the networks' routes with the addresses, and not again once somebody has removed them.
void NetlinkLink::repair_routes6(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  const int home = this->home(kernel, own);
  const auto present = routes6(socket_, home);
  if (!present) return;
  const IpNetwork network = network6(set_->address6);
  std::set<IpNetwork> wanted;
  for (const InterfaceAddress& address : kernel.addresses) {
    const bool ours = address.address == set_->address6 || (home == index_ && address.address.is_link_local());
    if (address.index != home || !ours || address.prefix != kPrefix6) continue;
    // Whoever wants none says so by the flag.
    if ((address.flags & IFA_F_NOPREFIXROUTE) == 0) wanted.insert(network6(address.address));
  }
  const std::string before = collision6_;
  tell_collision(to_string(network),
                 home == own.index ? find_collision6(kernel, set_->address6, own.index, own.master) : Collision{},
                 collision6_, report);
  if (!collision6_.empty()) {
    wanted.erase(network);
    const std::set<IpAddress> others = reserved(kernel, own.index);
    for (const auto& [id, member] : members_) {
      const IpAddress ip = address6_of(network, member.mac);
      if (ip != set_->address6 && !others.contains(ip)) wanted.insert({ip, 128});
    }
  }
  for (const IpNetwork& to : *present) {
    const bool yields = to == network && !collision6_.empty();
    if (yields || (to.length == 128 && !wanted.contains(to))) done(change_route6(RTM_DELROUTE, to, home), report);
  }
  for (const IpNetwork& to : wanted) {
    if (present->contains(to)) continue;
    const bool by_others = to.length == kPrefix6 && (to != network || before.empty());
    if (by_others && !may_repair("the route to " + to_string(to) + " was gone", report, now)) return;
    done(change_route6(RTM_NEWROUTE, to, home), report);
  }
}

}  // namespace eps::os
