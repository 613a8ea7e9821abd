// SPDX-License-Identifier: MIT
#include "os/source_routes.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "os/netlink_attributes.h"

namespace eps::os {
namespace {

unsigned char family_of(const IpAddress& ip) {
  return ip.is_v4() ? AF_INET : AF_INET6;
}

// An address as the kernel's tables have it.
void put_ip(NetlinkMessage& request, std::uint16_t attribute, const IpAddress& ip) {
  const std::size_t size = ip.is_v4() ? 4 : 16;
  request.put(attribute, ip.bytes.data() + (ip.bytes.size() - size), size);
}

struct SourceRule {
  IpAddress from;
  std::uint32_t table = 0;
  auto operator<=>(const SourceRule&) const = default;
};

Result<std::vector<SourceRule>> source_rules(NetlinkSocket& socket, unsigned char family) {
  NetlinkMessage request(RTM_GETRULE, 0);
  request.family<fib_rule_hdr>().family = family;
  std::vector<SourceRule> all;
  Result<void> dumped = socket.dump(request, "list the routing rules", [&](const nlmsghdr* message) {
    const auto* header = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
    if (message->nlmsg_type != RTM_NEWRULE || header->family != family) return;
    SourceRule rule{.from = {}, .table = header->table};
    std::uint32_t priority = 0;
    std::uint8_t protocol = 0;
    for_each_attribute<fib_rule_hdr>(message, [&](unsigned type, const nlattr* attribute) {
      if (type == FRA_PRIORITY) priority = number_of<std::uint32_t>(attribute);
      if (type == FRA_PROTOCOL) protocol = number_of<std::uint8_t>(attribute);
      if (type == FRA_TABLE) rule.table = number_of<std::uint32_t>(attribute);
      if (type == FRA_SRC) rule.from = ip_of(attribute).value_or(IpAddress{});
    });
    if (priority == kSourcePriority && protocol == kEpsProtocol && !rule.from.is_unspecified()) all.push_back(rule);
  });
  if (!dumped) return dumped.error();
  return all;
}

Result<void> change_rule(NetlinkSocket& socket, std::uint16_t type, const SourceRule& rule) {
  NetlinkMessage request(type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0);
  fib_rule_hdr& header = request.family<fib_rule_hdr>();
  header.family = family_of(rule.from);
  header.action = FR_ACT_TO_TBL;
  header.src_len = rule.from.is_v4() ? 32 : 128;
  request.put_u32(FRA_PRIORITY, kSourcePriority);
  request.put_u8(FRA_PROTOCOL, kEpsProtocol);
  request.put_u32(FRA_TABLE, rule.table);
  put_ip(request, FRA_SRC, rule.from);
  Result<void> done = socket.request(request, "set the routing rule for what is sent from " + to_string(rule.from));
  if (!done && (done.error().sys == EEXIST || done.error().sys == ENOENT)) return {};
  return done;
}

Result<void> add_route(NetlinkSocket& socket, int own, const IpPrefix& to) {
  // A route that is there already is no change, of which all clients would be told.
  NetlinkMessage request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  rtmsg& info = request.family<rtmsg>();
  info.rtm_family = family_of(to.base);
  info.rtm_dst_len = to.length;
  info.rtm_table = RT_TABLE_UNSPEC;
  info.rtm_protocol = kEpsProtocol;
  info.rtm_scope = RT_SCOPE_LINK;
  info.rtm_type = RTN_UNICAST;
  request.put_u32(RTA_TABLE, source_table(own));
  put_ip(request, RTA_DST, to.base);
  request.put_u32(RTA_OIF, static_cast<std::uint32_t>(own));
  Result<void> done = socket.request(request, "add a route to " + to_string(to.base) + "/" + std::to_string(to.length));
  // An interface that is down takes none; the look that follows its coming up adds it.
  if (!done && (done.error().sys == EEXIST || done.error().sys == ENETDOWN)) return {};
  return done;
}

}  // namespace

Result<void> set_source_routes(NetlinkSocket& socket, int own, const std::vector<SourceRoute>& wanted) {
  std::set<SourceRule> present;
  for (const unsigned char family : {AF_INET, AF_INET6}) {
    const auto rules = source_rules(socket, family);
    if (!rules && family == AF_INET) return rules.error();
    if (rules) present.insert(rules->begin(), rules->end());  // a kernel may have no IPv6
  }
  // After the rules: one that was just made is not without its interface.
  const auto all = list_interfaces(socket);
  if (!all) return all.error();
  Result<void> done;
  const auto keep = [&](Result<void> r) {
    if (done && !r) done = std::move(r);
  };
  for (const SourceRoute& route : wanted) {
    keep(add_route(socket, own, route.to));
    const SourceRule rule{route.from, source_table(own)};
    if (present.erase(rule) == 0) keep(change_rule(socket, RTM_NEWRULE, rule));
  }
  for (const SourceRule& rule : present) {
    const auto owner = std::ranges::find(*all, rule.table, [](const Interface& i) { return source_table(i.index); });
    if (rule.table == source_table(own) || owner == all->end()) keep(change_rule(socket, RTM_DELRULE, rule));
  }
  return done;
}

}  // namespace eps::os
