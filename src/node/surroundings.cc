// SPDX-License-Identifier: MIT
#include "node/surroundings.h"

#include <algorithm>

#include "model/address_kinds.h"

namespace eps::node {
namespace {

constexpr std::size_t kMaxSeen = 2;
constexpr Duration kRuleShown = std::chrono::hours(1);

bool is_in(const std::vector<IpPrefix>& networks, const IpAddress& ip) {
  return std::ranges::any_of(networks, [&](const IpPrefix& network) { return network.contains(ip); });
}

// The peer is in one LAN with the server, or on its host, so the server sees it at an address that means nothing here.
// We dial the server at an address of their router, which may reach the peer as well; and most home routers preserve
// the port of what they map.
std::optional<Candidate> beside_the_server(const Member& member, const Endpoint& server) {
  if (!server.valid() || !server.ip.is_v4() || is_private(server.ip) || server.ip.is_loopback()) return std::nullopt;
  std::optional<Candidate> out;
  for (const Candidate& c : member.candidates) {
    const bool outside = !is_private(c.endpoint.ip) && !c.endpoint.ip.is_loopback();
    if (c.endpoint.ip.is_v4() && outside && c.kind != Candidate::Kind::seen) return std::nullopt;
    if (c.kind == Candidate::Kind::local && !out) out = Candidate{Candidate::Kind::seen, {server.ip, c.endpoint.port}};
  }
  return out;
}

}  // namespace

bool Surroundings::set_own(std::vector<Candidate> candidates, std::vector<IpAddress> local) {
  own_ = std::move(candidates);
  return std::exchange(addresses_, std::move(local)) != addresses_;
}

bool Surroundings::set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels) {
  if (inside == inside_ && tunnels == tunnels_) return false;
  inside_ = std::move(inside);
  tunnels_ = std::move(tunnels);
  return true;
}

bool Surroundings::set_nat(NatStatus nat) {
  if (nat.mapping == NatMapping::unknown && seen_by_another_port_) nat.mapping = NatMapping::per_destination;
  // A server on our side of the NAT sees none, but peers do.
  if (nat.mapping == NatMapping::none && !seen_.empty()) {
    const bool two_ports = seen_.size() > 1 && seen_[0].ip == seen_[1].ip;
    nat.mapping = two_ports ? NatMapping::per_destination : NatMapping::independent;
  }
  return std::exchange(nat_, nat).mapping != nat.mapping;
}

// A mapping that the server does not see, as when it is on our side of the NAT.
void Surroundings::note_seen(const Endpoint& seen, Instant now) {
  const auto other_port = [&](const Candidate& c) {
    return c.kind == Candidate::Kind::observed && c.endpoint.ip == seen.ip && c.endpoint.port != seen.port;
  };
  if (std::ranges::any_of(own_, other_port)) seen_by_another_port_ = true;
  if (!seen.valid()) return;
  if (nat_.mapping == NatMapping::per_destination) {
    // What this node sends leaves from its own port only where the peer's datagrams were forwarded there.
    const auto own_port = [&](const Candidate& c) {
      return c.kind == Candidate::Kind::local && c.endpoint.port == seen.port;
    };
    const bool announced = std::ranges::find(own_, Candidate{Candidate::Kind::seen, seen}) != own_.end();
    if (announced && std::ranges::any_of(own_, own_port)) {
      rule_ = seen;
      rule_at_ = now;
    }
    return;
  }
  const bool known = std::ranges::find(own_, seen, &Candidate::endpoint) != own_.end();
  if (known || std::ranges::count(seen_, seen) > 0) return;
  seen_.insert(seen_.begin(), seen);
  if (seen_.size() > kMaxSeen) seen_.pop_back();
  seen_changed_ = true;
}

bool Surroundings::seen_from_outside() const {
  return std::ranges::any_of(own_, [](const Candidate& c) {
    return c.endpoint.ip.is_v4() && !is_private(c.endpoint.ip) && !c.endpoint.ip.is_loopback();
  });
}

bool Surroundings::forwarded(Instant now) const {
  return rule(now) || std::ranges::find(own_, Candidate::Kind::mapped, &Candidate::kind) != own_.end();
}

std::optional<Endpoint> Surroundings::rule(Instant now) const {
  const bool announced = std::ranges::find(own_, Candidate{Candidate::Kind::seen, rule_}) != own_.end();
  if (!announced || nat_.mapping != NatMapping::per_destination || now - rule_at_ > kRuleShown) return std::nullopt;
  return rule_;
}

bool Surroundings::is_inside(const IpAddress& ip) const {
  if (network_ && ip.is_v4() && network_->network.contains(ip.v4())) return true;
  return (network_ && network_->network6 && network_->network6->contains(ip)) || is_in(inside_, ip);
}

std::vector<Candidate> Surroundings::usable(const Member& member, const std::vector<Candidate>& told,
                                            const Endpoint& server) const {
  std::vector<Candidate> out;
  const auto take = [&](const Candidate& c) {
    const IpAddress& ip = c.endpoint.ip;
    const bool inside = is_inside(ip) || (c.kind == Candidate::Kind::local && is_in(tunnels_, ip));
    const bool group = ip.is_v4() ? ip.v4().value >> 28 >= 14 : ip.bytes[0] == std::byte{0xff};
    const bool had = std::ranges::find(out, c.endpoint, &Candidate::endpoint) != out.end();
    // In another LAN the peer may have the very address that we have in ours: packets to it would come back to us.
    const bool mine = std::ranges::find(own_, c.endpoint, &Candidate::endpoint) != own_.end();
    if (!inside && !group && !had && !mine && c.endpoint.valid() && !ip.is_loopback() && !ip.is_unspecified()) {
      out.push_back(c);
    }
  };
  std::ranges::for_each(member.candidates, take);
  std::ranges::for_each(told, take);
  if (const auto guess = beside_the_server(member, server)) take(*guess);
  return out;
}

}  // namespace eps::node
