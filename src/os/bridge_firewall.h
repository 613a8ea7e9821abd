// SPDX-License-Identifier: MIT
#pragma once

// With br_netfilter loaded, as by Docker, a bridge shows the IP packets that it forwards to the firewall's forward hook
// as well (net.bridge.bridge-nf-call-iptables), and Docker lets that hook drop what no rule accepts.

#include <optional>
#include <string>

#include "os/netlink.h"

namespace eps::os {

// Thread rules: one thread at a time.
class BridgeFirewall {
 public:
  // Needs CAP_NET_ADMIN, at each question as well. Without that, or without nf_tables, no chain is ever found.
  BridgeFirewall();

  // The setting that makes bridged packets of this IP version pass the firewall.
  static std::string sysctl_of(int ip_version);
  // The chain that by its policy drops bridged packets of this IP version, as nft names it: "ip filter FORWARD". "":
  // they do not pass the firewall, or none does.
  std::string dropping_chain(int ip_version);

 private:
  std::optional<NetlinkSocket> netfilter_;
};

}  // namespace eps::os
