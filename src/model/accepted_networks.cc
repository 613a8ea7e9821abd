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

namespace {

bool within(const std::vector<IpNetwork>& some, const IpNetwork& whole) {
  return std::ranges::any_of(
      some, [&](const IpNetwork& one) { return one.length <= whole.length && one.contains(whole.base); });
}

}  // namespace

std::string accepting(const NetworkInfo& network) {
  std::string out = to_string(network.network);
  if (network.network6 && !within(private_networks(), *network.network6)) out += " " + to_string(*network.network6);
  return out;
}

std::optional<IpNetwork> not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network) {
  // By default the IPv6 network derives from the network's id, so nobody can name it beforehand.
  const bool names_ip6 = std::ranges::any_of(accepted, [](const IpNetwork& a) { return !a.base.is_v4(); });
  if (const IpNetwork v4 = IpNetwork::from_v4(network.network); !within(accepted, v4)) return v4;
  if (!network.network6 || within(names_ip6 ? accepted : private_networks(), *network.network6)) return std::nullopt;
  return network.network6;
}

std::optional<std::string> why_not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network,
                                            Ip4 self) {
  if (const auto refused = not_accepted(accepted, network)) {
    return "the server's network is " + to_string(*refused) +
           ", which this computer does not accept. If it is right, write \"accept-network = " + accepting(network) +
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
