// SPDX-License-Identifier: MIT
#include "os/underlay_routes.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <tuple>

#include "os/netlink_attributes.h"
#include "os/underlay_mark.h"

namespace eps::os {
namespace {

// A route whose attributes are longer is not copied; multipath routes of a dozen hops are not.
constexpr std::size_t kMaxAttributes = 900;
// A main table of no more routes is copied whole, so that a route through an EPS interface changes nothing for the
// underlay even before we have heard of it. Of a larger one, a router's, only what is hidden is copied.
constexpr std::size_t kCopiedWhole = 256;

// Whether the network of `outer_length` bits at `outer` holds the one at `inner`.
bool holds(const std::array<std::byte, 16>& outer, unsigned outer_length, const std::array<std::byte, 16>& inner,
           unsigned inner_length) {
  if (outer_length > inner_length) return false;
  for (unsigned bit = 0; bit < outer_length; ++bit) {
    if (((outer[bit / 8] ^ inner[bit / 8]) & std::byte(0x80 >> bit % 8)) != std::byte{0}) return false;
  }
  return true;
}

}  // namespace

// A unicast route with everything that the kernel reports about it.
struct UnderlayRoutes::Route {
  rtmsg header{};
  std::array<std::byte, 16> to{};
  std::uint32_t table = 0;
  std::vector<int> out;                       // indices of the interfaces
  std::optional<IpAddress> gateway;           // of a route with one hop
  std::map<std::uint16_t, Bytes> attributes;  // without table and cache information

  bool leads_into(const std::set<int>& interfaces) const {
    return std::ranges::any_of(out, [&](int index) { return interfaces.contains(index); });
  }
  bool covers(const Route& other) const { return holds(to, header.rtm_dst_len, other.to, other.header.rtm_dst_len); }
  bool same_destination(const Route& other) const {
    return header.rtm_dst_len == other.header.rtm_dst_len && to == other.to;
  }
  // Two routes of the table with equal text() are indistinguishable.
  auto text() const { return std::tie(header.rtm_dst_len, header.rtm_scope, header.rtm_flags, attributes); }
};

struct UnderlayRoutes::Rule {
  unsigned char family = 0;
  std::uint32_t priority = 0;
  std::uint32_t mark = 0;
  std::uint32_t table = 0;
  std::uint32_t suppressed_group = 0xffffffff;  // none
  std::uint8_t action = FR_ACT_TO_TBL;
  std::uint8_t protocol = 0;
  auto operator<=>(const Rule&) const = default;
};

Result<std::vector<UnderlayRoutes::Route>> UnderlayRoutes::routes(unsigned char family) {
  NetlinkMessage request(RTM_GETROUTE, 0);
  request.family<rtmsg>().rtm_family = family;
  std::vector<Route> all;
  Result<void> dumped = socket_.dump(request, "list the routes", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWROUTE) return;
    Route route;
    route.header = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
    if (route.header.rtm_type != RTN_UNICAST || (route.header.rtm_flags & RTM_F_CLONED) != 0) return;
    if (route.header.rtm_family != family) return;
    route.table = route.header.rtm_table;
    for_each_attribute<rtmsg>(message, [&](unsigned type, const nlattr* attribute) {
      const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(attribute));
      const std::size_t size = mnl_attr_get_payload_len(attribute);
      if (type == RTA_TABLE) {
        route.table = number_of<std::uint32_t>(attribute);
        return;
      }
      if (type == RTA_CACHEINFO) return;
      if (type == RTA_DST) std::copy_n(bytes, std::min<std::size_t>(size, 16), route.to.begin());
      if (type == RTA_OIF) route.out.push_back(number_of<int>(attribute));
      if (type == RTA_GATEWAY) route.gateway = ip_of(attribute);
      if (type == RTA_MULTIPATH) {
        for (std::size_t at = 0; at + sizeof(rtnexthop) <= size;) {
          rtnexthop hop;
          std::memcpy(&hop, bytes + at, sizeof(hop));
          route.out.push_back(hop.rtnh_ifindex);
          if (hop.rtnh_len < sizeof(hop)) break;
          at += RTNH_ALIGN(hop.rtnh_len);
        }
      }
      route.attributes.emplace(attribute->nla_type, Bytes(bytes, bytes + size));
    });
    route.header.rtm_table = RT_TABLE_UNSPEC;
    route.header.rtm_protocol = kEpsProtocol;
    route.header.rtm_flags &= RTNH_F_ONLINK;
    all.push_back(std::move(route));
  });
  if (!dumped) return dumped.error();
  return all;
}

Result<std::vector<UnderlayRoutes::Rule>> UnderlayRoutes::rules(unsigned char family) {
  NetlinkMessage request(RTM_GETRULE, 0);
  request.family<fib_rule_hdr>().family = family;
  std::vector<Rule> all;
  Result<void> dumped = socket_.dump(request, "list the routing rules", [&](const nlmsghdr* message) {
    if (message->nlmsg_type != RTM_NEWRULE) return;
    const auto* header = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
    Rule rule{.family = header->family, .table = header->table, .action = header->action};
    if (rule.family != family) return;
    for_each_attribute<fib_rule_hdr>(message, [&](unsigned type, const nlattr* attribute) {
      if (type == FRA_PRIORITY) rule.priority = number_of<std::uint32_t>(attribute);
      if (type == FRA_FWMARK) rule.mark = number_of<std::uint32_t>(attribute);
      if (type == FRA_TABLE) rule.table = number_of<std::uint32_t>(attribute);
      if (type == FRA_SUPPRESS_IFGROUP) rule.suppressed_group = number_of<std::uint32_t>(attribute);
      if (type == FRA_PROTOCOL) rule.protocol = number_of<std::uint8_t>(attribute);
    });
    all.push_back(rule);
  });
  if (!dumped) return dumped.error();
  return all;
}

Result<void> UnderlayRoutes::change_route(std::uint16_t type, const Route& route) {
  NetlinkMessage request(type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0);
  request.family<rtmsg>() = route.header;
  request.put_u32(RTA_TABLE, kUnderlayTable);
  // A next hop object replaces the hop attributes, which the kernel reports as well but does not accept beside it.
  const bool by_object = route.attributes.contains(RTA_NH_ID);
  for (const auto& [attribute, bytes] : route.attributes) {
    const bool hop =
        attribute == RTA_OIF || attribute == RTA_GATEWAY || attribute == RTA_VIA || attribute == RTA_MULTIPATH;
    if (!by_object || !hop) request.put(attribute, bytes.data(), bytes.size());
  }
  Result<void> done = socket_.request(request, "keep a route for the traffic between the computers");
  if (!done && (done.error().sys == EEXIST || done.error().sys == ESRCH)) return {};
  return done;
}

Result<void> UnderlayRoutes::change_rule(std::uint16_t type, const Rule& rule) {
  NetlinkMessage request(type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
  fib_rule_hdr& header = request.family<fib_rule_hdr>();
  header.family = rule.family;
  header.action = rule.action;
  request.put_u32(FRA_PRIORITY, rule.priority);
  request.put_u32(FRA_FWMARK, rule.mark);
  request.put_u32(FRA_FWMASK, 0xffffffff);
  request.put_u8(FRA_PROTOCOL, rule.protocol);
  if (rule.action == FR_ACT_TO_TBL) request.put_u32(FRA_TABLE, rule.table);
  if (rule.suppressed_group != 0xffffffff) request.put_u32(FRA_SUPPRESS_IFGROUP, rule.suppressed_group);
  Result<void> done = socket_.request(request, "set the routing rule that keeps EPS out of its own interface");
  if (!done && (done.error().sys == EEXIST || done.error().sys == ENOENT)) return {};
  return done;
}

Result<void> UnderlayRoutes::set_rules(unsigned char family, std::uint32_t priority, std::vector<Rule> present) {
  std::vector<Rule> wanted;
  if (priority != 0) {
    const Rule base{.family = family, .priority = priority, .mark = kUnderlayMark, .protocol = kEpsProtocol};
    wanted.assign(3, base);
    wanted[0].table = RT_TABLE_MAIN;
    wanted[0].suppressed_group = kEpsGroup;
    wanted[1].table = kUnderlayTable;
    wanted[2].action = FR_ACT_UNREACHABLE;
  }
  std::erase_if(present, [](const Rule& r) { return r.protocol != kEpsProtocol || r.mark != kUnderlayMark; });
  const auto right = static_cast<std::size_t>(std::ranges::mismatch(present, wanted).in1 - present.begin());
  const auto remove = [&](bool among_wanted) -> Result<void> {
    for (const Rule& rule : std::span(present).subspan(right)) {
      if ((std::ranges::find(wanted, rule) != wanted.end()) != among_wanted) continue;
      if (Result<void> r = change_rule(RTM_DELRULE, rule); !r) return r;
    }
    return {};
  };
  // From the first one that is missing or out of order they come anew: what is added goes behind those of its priority.
  if (Result<void> r = remove(true); !r) return r;
  for (const Rule& rule : std::span(wanted).subspan(right)) {
    if (Result<void> r = change_rule(RTM_NEWRULE, rule); !r) return r;
  }
  return remove(false);
}

Result<void> UnderlayRoutes::reconcile(unsigned char family, const std::vector<Interface>& all,
                                       const std::set<int>& inside) {
  const auto known = routes(family);
  if (!known) return known.error();
  std::vector<Route> main, hidden_by, present;  // hidden_by: the routes through EPS interfaces
  std::set<std::uint32_t> inside_tables;
  for (const Route& route : *known) {
    const bool into = route.leads_into(inside);
    if (route.table == kUnderlayTable) {
      present.push_back(route);
    } else if (into) {
      if (route.table == RT_TABLE_MAIN) hidden_by.push_back(route);
      inside_tables.insert(route.table);
    } else if (route.table == RT_TABLE_MAIN) {
      main.push_back(route);
    }
  }
  std::vector<Route> wanted;
  for (const Route& route : main) {
    const bool hidden =
        main.size() <= kCopiedWhole || std::ranges::any_of(hidden_by, [&](const Route& h) { return route.covers(h); });
    std::size_t size = 0;
    for (const auto& [type, bytes] : route.attributes) size += bytes.size() + 8;
    if ((hidden || route.header.rtm_dst_len <= 1) && size <= kMaxAttributes) wanted.push_back(route);
  }
  // Routes that one through an EPS interface has replaced.
  const auto is_up = [&](int index) {
    const auto it = std::ranges::find(all, index, &Interface::index);
    return it != all.end() && (it->flags & IFF_UP) != 0;
  };
  for (const Route& route : present) {
    const auto same = [&](const Route& other) { return other.same_destination(route); };
    if (std::ranges::any_of(hidden_by, same) && std::ranges::none_of(main, same) &&
        std::ranges::all_of(route.out, is_up)) {
      wanted.push_back(route);
    }
  }
  const auto among = [](const std::vector<Route>& list, const Route& route) {
    return std::ranges::any_of(list, [&](const Route& r) { return r.text() == route.text(); });
  };
  for (const Route& route : present) {
    if (!among(wanted, route)) (void)change_route(RTM_DELROUTE, route);
  }
  // A copy whose gateway is missing at this moment is no loss: the next change brings us here again.
  for (const Route& route : wanted) {
    if (!among(present, route)) (void)change_route(RTM_NEWROUTE, route);
  }

  const auto others = rules(family);
  if (!others) return others.error();
  std::uint32_t priority = kUnderlayPriority;
  for (const Rule& rule : *others) {
    const bool leads_inside = rule.protocol != kEpsProtocol && rule.action == FR_ACT_TO_TBL &&
                              rule.table != RT_TABLE_MAIN && inside_tables.contains(rule.table);
    if (leads_inside && rule.table != RT_TABLE_LOCAL) priority = std::min(priority, std::max(rule.priority, 2U) - 1);
  }
  return set_rules(family, priority, *others);
}

Result<void> UnderlayRoutes::reconcile(const std::vector<Interface>& all, const std::set<int>& inside) {
  if (Result<void> r = reconcile(AF_INET, all, inside); !r) return r;
  const Result<void> six = reconcile(AF_INET6, all, inside);
  const bool no_ipv6 =
      !six && (six.error().sys == EAFNOSUPPORT || six.error().sys == EOPNOTSUPP || six.error().sys == EPROTONOSUPPORT);
  return no_ipv6 ? Result<void>() : six;
}

void UnderlayRoutes::remove() {
  for (const unsigned char family : {AF_INET, AF_INET6}) {
    if (const auto present = rules(family)) (void)set_rules(family, 0, *present);
    if (const auto known = routes(family)) {
      for (const Route& route : *known) {
        if (route.table == kUnderlayTable) (void)change_route(RTM_DELROUTE, route);
      }
    }
  }
}

}  // namespace eps::os
