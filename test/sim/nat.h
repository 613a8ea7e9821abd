// SPDX-License-Identifier: MIT
#pragma once

// A NAT in the terms of RFC 4787: what becomes of a UDP datagram that passes it, told by its addresses and the time. It
// knows no network and no clock. A stateful firewall is one that translates nothing and filters all the same.

#include <cstdint>
#include <map>
#include <optional>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::sim {

// What a mapping (RFC 4787, section 4.1) or a filter (section 5) distinguishes of the outside.
enum class Dependence : std::uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };

// Which external port a new mapping gets. Preserving, as Linux does it: the one that the internal endpoint has in its
// newest other mapping, else the internal port, else a random one, whichever is free first. Sequential: the next.
enum class PortAllocation : std::uint8_t { preserving, sequential, random };

// Who inside is reached at the external address: nobody, the targets of forwarded ports (Linux), whoever the filter of
// a mapping lets reach (RFC 4787, REQ-9).
enum class Hairpinning : std::uint8_t { none, forwarded, all };

struct NatBehaviour {
  Dependence mapping = Dependence::endpoint_independent;
  Dependence filtering = Dependence::address_and_port_dependent;
  PortAllocation ports = PortAllocation::preserving;
  Hairpinning hairpinning = Hairpinning::none;
  // Datagrams from outside keep a mapping open as those from inside do (REQ-6 leaves it open; Linux does).
  bool inbound_refreshes = false;
  bool translates = true;  // false: a firewall
  // Of a mapping and of what its filter lets in. REQ-5 asks for 2 minutes; there are those that forget after 30 s.
  Duration timeout = std::chrono::seconds(30);
};

class Nat {
 public:
  Nat(const NatBehaviour& behaviour, const IpAddress& external, Rng& rng);

  // A datagram leaves: its source as the outside sees it; nullopt when no port is left.
  std::optional<Endpoint> outbound(const Endpoint& inside, const Endpoint& to, Instant now);
  // One arrives at an external endpoint: where it goes inside; nullopt when it is dropped. That creates no mapping.
  std::optional<Endpoint> inbound(const Endpoint& from, const Endpoint& external, Instant now);
  // Everything to this external port goes to `inside`, and what `inside` sends leaves by that port where it is free.
  void forward(std::uint16_t port, const Endpoint& inside) { forwards_[port] = inside; }
  std::optional<Endpoint> forwarded(std::uint16_t port) const;
  // All mappings are forgotten, as when a router starts anew; what is forwarded stays.
  void rebind();

  const NatBehaviour& behaviour() const { return behaviour_; }
  const IpAddress& external() const { return external_; }
  std::uint32_t rebinds() const { return rebinds_; }

 private:
  // An internal endpoint, and the part of the remote endpoint that the mapping depends on.
  using Key = std::pair<Endpoint, Endpoint>;
  struct Mapping {
    Endpoint external;
    Endpoint owner;                       // see owner_of()
    std::map<Endpoint, Instant> remotes;  // whom it lets in, and since when nothing was sent there
    Instant used{};
    std::uint64_t number = 0;  // grows
  };
  static Endpoint scope(Dependence dependence, const Endpoint& remote);
  Endpoint owner_of(const Endpoint& remote) const;
  bool alive(Instant used, Instant now) const { return now - used < behaviour_.timeout; }
  bool lets_in(const Mapping& mapping, const Endpoint& from, Instant now) const;
  Mapping* find(const Key& key, Instant now);
  Mapping* add(const Key& key, const Endpoint& external, const Endpoint& remote, Instant now);
  bool free(const Endpoint& external, const Endpoint& owner, Instant now);
  const Mapping* newest_of(const Endpoint& inside, Instant now) const;
  std::optional<Endpoint> allocate(const Endpoint& inside, const Endpoint& to, Instant now);

  NatBehaviour behaviour_;
  IpAddress external_;
  Rng& rng_;
  std::map<Key, Mapping> mappings_;
  std::map<std::pair<Endpoint, Endpoint>, Key> by_external_;  // external endpoint and owner
  std::map<std::uint16_t, Endpoint> forwards_;
  std::uint16_t next_port_;
  std::uint64_t next_number_ = 1;
  std::uint32_t rebinds_ = 0;
};

}  // namespace eps::sim
