// SPDX-License-Identifier: MIT
#include "model/accepted_networks.h"

#include <algorithm>

namespace eps {

std::vector<IpNetwork> private_networks() {
  std::vector<IpNetwork> out;
  for (const char* text : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"}) {
    out.push_back(*parse_ip_network(text));
  }
  return out;
}

std::optional<std::string> why_not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network,
                                            Ip4 self) {
  const auto is_accepted = [&](const IpNetwork& whole) {
    return std::ranges::any_of(accepted,
                               [&](const IpNetwork& a) { return a.length <= whole.length && a.contains(whole.base); });
  };
  std::vector<IpNetwork> all = {IpNetwork::from_v4(network.network)};
  if (network.network6) all.push_back(*network.network6);
  if (const auto it = std::ranges::find_if_not(all, is_accepted); it != all.end()) {
    std::string names;
    for (const IpNetwork& one : all) names += (names.empty() ? "" : " ") + to_string(one);
    return "the server's network is " + to_string(*it) +
           ", which this computer does not accept; if it is right, write \"accept-network = " + names +
           "\" into the configuration file";
  }
  const Ip4Network& v4 = network.network;
  if (!v4.contains(self) || self == v4.base || self == v4.broadcast()) {
    return "the server gives this computer the address " + to_string(self) + ", which no member of " + to_string(v4) +
           " can have";
  }
  return std::nullopt;
}

}  // namespace eps
