// SPDX-License-Identifier: MIT
#pragma once

// Where this node is: its addresses, the NAT in front of it and how others see it; and where a peer may therefore be
// reached from here.

#include <optional>
#include <utility>
#include <vector>

#include "base/types.h"
#include "model/ip_prefix.h"
#include "model/network.h"
#include "model/status.h"

namespace eps::node {

class Surroundings {
 public:
  void set_network(const NetworkInfo& network) { network_ = network; }
  // Where this node may be reached; `local` are the addresses of its interfaces. True: neighbouring networks changed.
  bool set_own(std::vector<Candidate> candidates, std::vector<IpAddress> local);
  // Networks inside EPS interfaces of this computer, and inside other tunnels (ports::Underlay). True: they changed.
  bool set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels);
  // What the server learned about the NAT; what peers saw is evidence as well. True: it maps differently than before.
  bool set_nat(NatStatus nat);
  // A member saw this node's data socket send from there.
  void note_seen(const Endpoint& seen, Instant now);
  // This node may be behind another NAT.
  void moved() { seen_by_another_port_ = false; }

  const std::vector<Candidate>& own() const { return own_; }
  const std::vector<IpAddress>& addresses() const { return addresses_; }
  const NatStatus& nat() const { return nat_; }
  // Endpoints that members saw, other than known candidates; true once after a change.
  const std::vector<Endpoint>& seen() const { return seen_; }
  bool take_seen_changed() { return std::exchange(seen_changed_, false); }
  // A host on the internet has told us by which IPv4 address it sees us, or we have such an address.
  bool seen_from_outside() const;
  // A router forwards a port to this node, by request or by a rule.
  bool forwarded(Instant now) const;
  // Where a user's rule in a router with a hard NAT leads to this node; nullopt: nothing showed one within an hour.
  std::optional<Endpoint> rule(Instant now) const;
  // Whether this address is inside an EPS network, this one's or another's on this computer.
  bool is_inside(const IpAddress& ip) const;

  // Where to try a member, without duplicates, from the server's list and from `told`: no address inside the EPS
  // network itself, which would send the tunnel through the tunnel. `server`: as it is dialled.
  std::vector<Candidate> usable(const Member& member, const std::vector<Candidate>& told, const Endpoint& server) const;

 private:
  std::optional<NetworkInfo> network_;
  std::vector<Candidate> own_;
  std::vector<IpAddress> addresses_;
  std::vector<IpPrefix> inside_, tunnels_;
  NatStatus nat_;
  std::vector<Endpoint> seen_;
  bool seen_changed_ = false;
  Endpoint rule_;  // proved at rule_at_
  Instant rule_at_{};
  bool seen_by_another_port_ = false;  // another port than the one the server sees, on the same address
};

}  // namespace eps::node
