// SPDX-License-Identifier: MIT
#include "os/bridge_firewall.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <fstream>

#include "os/netlink_attributes.h"

namespace eps::os {

BridgeFirewall::BridgeFirewall() {
  if (auto socket = NetlinkSocket::open(0, NETLINK_NETFILTER)) netfilter_ = std::move(*socket);
}

std::string BridgeFirewall::sysctl_of(int ip_version) {
  return ip_version == 4 ? "net.bridge.bridge-nf-call-iptables" : "net.bridge.bridge-nf-call-ip6tables";
}

std::string BridgeFirewall::dropping_chain(int ip_version) {
  std::string path = "/proc/sys/" + sysctl_of(ip_version);
  std::ranges::replace(path, '.', '/');
  int calls = 0;
  std::ifstream(path) >> calls;
  if (calls != 1 || !netfilter_) return "";
  NetlinkMessage request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, 0);
  request.family<nfgenmsg>().nfgen_family = NFPROTO_UNSPEC;
  std::string found;
  const auto dumped = netfilter_->dump(request, "list the chains of the firewall", [&](const nlmsghdr* message) {
    const auto* info = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
    const int family = info->nfgen_family;
    if (family != NFPROTO_INET && family != (ip_version == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6)) return;
    std::string table, name;
    std::optional<std::uint32_t> hook, policy;
    for_each_attribute<nfgenmsg>(message, [&](unsigned type, const nlattr* attribute) {
      if (type == NFTA_CHAIN_TABLE) table = mnl_attr_get_str(attribute);
      if (type == NFTA_CHAIN_NAME) name = mnl_attr_get_str(attribute);
      if (type == NFTA_CHAIN_POLICY) policy = ntohl(mnl_attr_get_u32(attribute));
      if (type != NFTA_CHAIN_HOOK) return;
      for_each_nested(attribute, [&](unsigned part, const nlattr* value) {
        if (part == NFTA_HOOK_HOOKNUM) hook = ntohl(mnl_attr_get_u32(value));
      });
    });
    if (hook != NF_INET_FORWARD || policy != NF_DROP) return;
    found = std::string(family == NFPROTO_INET   ? "inet"
                        : family == NFPROTO_IPV4 ? "ip"
                                                 : "ip6") +
            " " + table + " " + name;
  });
  return dumped ? found : "";
}

}  // namespace eps::os
