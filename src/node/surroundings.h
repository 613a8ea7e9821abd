// SPDX-License-Identifier: MIT
#pragma once

// Where this node is: its addresses, the NAT in front of it and how others see it; and what follows from that for where
// a peer may be reached from here.

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
  // Where this node may be reached; `local` are the addresses of its interfaces. True: what is near has changed.
  bool set_own(std::vector<Candidate> candidates, std::vector<IpAddress> local);
  // Networks inside of EPS interfaces of this computer, and of other tunnels (ports::Underlay). True: they changed.
  bool set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels);
  // What the server found out of the NAT; what the peers saw is evidence as well. True: it maps otherwise than before.
  bool set_nat(NatStatus nat);
  // A member saw this node's data socket send from there.
  void note_seen(const Endpoint& seen);
  // This node may be behind another NAT.
  void moved() { seen_by_another_port_ = false; }

  const std::vector<Candidate>& own() const { return own_; }
  const std::vector<IpAddress>& addresses() const { return addresses_; }
  const NatStatus& nat() const { return nat_; }
  // Endpoints that members saw, other than the known candidates; true once after a change.
  const std::vector<Endpoint>& seen() const { return seen_; }
  bool take_seen_changed() { return std::exchange(seen_changed_, false); }
  // Somebody on the internet has told us by which IPv4 address it sees us, or we have such an address.
  bool seen_from_outside() const;
  // A router forwards a port to this node.
  bool forwarded() const;
  // Whether this address is inside an EPS network, this one's or another's on this computer.
  bool is_inside(const IpAddress& ip) const;

  // Where a member may be tried, without repetition, by the server's list and by what `told` says besides: no address
  // inside the EPS network itself, which would send the tunnel through the tunnel. `server`: as it is dialled.
  std::vector<Candidate> usable(const Member& member, const std::vector<Candidate>& told, const Endpoint& server) const;

 private:
  std::optional<NetworkInfo> network_;
  std::vector<Candidate> own_;
  std::vector<IpAddress> addresses_;
  std::vector<IpPrefix> inside_, tunnels_;
  NatStatus nat_;
  std::vector<Endpoint> seen_;
  bool seen_changed_ = false;
  bool seen_by_another_port_ = false;  // than the server sees us by, on the same address
};

}  // namespace eps::node
