// SPDX-License-Identifier: MIT
#include "sim/nat.h"

#include <algorithm>

namespace eps::sim {
namespace {
constexpr std::uint16_t kFirstPort = 1024;
constexpr std::uint32_t kPorts = 65536 - kFirstPort;
}  // namespace

Nat::Nat(const NatBehaviour& behaviour, const IpAddress& external, Rng& rng)
    : behaviour_(behaviour),
      external_(external),
      rng_(rng),
      next_port_(static_cast<std::uint16_t>(kFirstPort + rng.below(kPorts))) {}

Endpoint Nat::scope(Dependence dependence, const Endpoint& remote) {
  switch (dependence) {
    case Dependence::endpoint_independent:
      return {};
    case Dependence::address_dependent:
      return {remote.ip, 0};
    case Dependence::address_and_port_dependent:
      break;
  }
  return remote;
}

// Mappings may share an external port as long as every datagram from outside can belong to only one of them (RFC 4787
// calls it port overloading): mapping and filter together decide that. Linux does so.
Endpoint Nat::owner_of(const Endpoint& remote) const {
  return scope(std::min(behaviour_.mapping, behaviour_.filtering), remote);
}

std::optional<Endpoint> Nat::outbound(const Endpoint& inside, const Endpoint& to, Instant now) {
  const Key key{inside, behaviour_.translates ? scope(behaviour_.mapping, to) : Endpoint{}};
  Mapping* mapping = find(key, now);
  if (mapping == nullptr) {
    const auto external = behaviour_.translates ? allocate(inside, to, now) : inside;
    if (!external) return std::nullopt;
    mapping = add(key, *external, to, now);
  }
  mapping->used = mapping->remotes[to] = now;
  return mapping->external;
}

std::optional<Endpoint> Nat::inbound(const Endpoint& from, const Endpoint& external, Instant now) {
  const auto found = by_external_.find({external, behaviour_.translates ? owner_of(from) : Endpoint{}});
  if (found != by_external_.end()) {
    const Endpoint inside = found->second.first;
    Mapping* mapping = find(found->second, now);
    if (mapping != nullptr && lets_in(*mapping, from, now)) {
      if (behaviour_.inbound_refreshes) mapping->used = mapping->remotes[from] = now;
      return inside;
    }
  }
  const auto inside = forwarded(external.port);
  if (!inside) return std::nullopt;
  // So that the answer leaves from the port that was asked.
  const Key key{*inside, scope(behaviour_.mapping, from)};
  if (find(key, now) == nullptr && free(external, owner_of(from), now)) {
    add(key, external, from, now)->remotes[from] = now;
  }
  return inside;
}

std::optional<Endpoint> Nat::forwarded(std::uint16_t port) const {
  const auto it = forwards_.find(port);
  return it == forwards_.end() ? std::nullopt : std::optional(it->second);
}

void Nat::rebind() {
  mappings_.clear();
  by_external_.clear();
  ++rebinds_;
}

bool Nat::lets_in(const Mapping& mapping, const Endpoint& from, Instant now) const {
  if (behaviour_.filtering == Dependence::endpoint_independent) return true;
  const bool any_port = behaviour_.filtering == Dependence::address_dependent;
  for (auto it = mapping.remotes.lower_bound(scope(behaviour_.filtering, from)); it != mapping.remotes.end(); ++it) {
    if (it->first.ip != from.ip || (!any_port && it->first != from)) return false;
    if (alive(it->second, now)) return true;
  }
  return false;
}

// The mapping with that key; an expired one is removed here.
Nat::Mapping* Nat::find(const Key& key, Instant now) {
  const auto it = mappings_.find(key);
  if (it == mappings_.end()) return nullptr;
  if (alive(it->second.used, now)) return &it->second;
  by_external_.erase({it->second.external, it->second.owner});
  mappings_.erase(it);
  return nullptr;
}

Nat::Mapping* Nat::add(const Key& key, const Endpoint& external, const Endpoint& remote, Instant now) {
  const Endpoint owner = behaviour_.translates ? owner_of(remote) : Endpoint{};
  by_external_[{external, owner}] = key;
  return &(mappings_[key] = {external, owner, {}, now, next_number_++});
}

bool Nat::free(const Endpoint& external, const Endpoint& owner, Instant now) {
  const auto it = by_external_.find({external, owner});
  return it == by_external_.end() || find(it->second, now) == nullptr;
}

const Nat::Mapping* Nat::newest_of(const Endpoint& inside, Instant now) const {
  const Mapping* newest = nullptr;
  for (auto it = mappings_.lower_bound({inside, {}}); it != mappings_.end() && it->first.first == inside; ++it) {
    if (alive(it->second.used, now) && (newest == nullptr || newest->number < it->second.number)) newest = &it->second;
  }
  return newest;
}

std::optional<Endpoint> Nat::allocate(const Endpoint& inside, const Endpoint& to, Instant now) {
  const Endpoint owner = owner_of(to);
  for (const auto& [port, target] : forwards_) {
    if (target == inside && free({external_, port}, owner, now)) return Endpoint{external_, port};
  }
  const bool in_order = behaviour_.ports == PortAllocation::sequential;
  if (behaviour_.ports == PortAllocation::preserving) {
    const Mapping* other = newest_of(inside, now);
    if (other != nullptr && free(other->external, owner, now)) return other->external;
    if (free({external_, inside.port}, owner, now)) return Endpoint{external_, inside.port};
  }
  std::uint32_t at = in_order ? next_port_ - kFirstPort : static_cast<std::uint32_t>(rng_.below(kPorts));
  for (std::uint32_t tried = 0; tried < kPorts; ++tried, at = (at + 1) % kPorts) {
    const Endpoint external{external_, static_cast<std::uint16_t>(kFirstPort + at)};
    if (!free(external, owner, now)) continue;
    if (in_order) next_port_ = static_cast<std::uint16_t>(kFirstPort + (at + 1) % kPorts);
    return external;
  }
  return std::nullopt;
}

}  // namespace eps::sim
