// SPDX-License-Identifier: MIT
#pragma once

// A NAT in the terms of RFC 4787: the fate of a UDP datagram that passes it, given its addresses and the time. It has
// no network and no clock. A stateful firewall is one that only filters and does not translate.

#include <cstdint>
#include <map>
#include <optional>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::sim {

// The parts of the remote endpoint that a mapping (RFC 4787, section 4.1) or a filter (section 5) distinguishes.
enum class Dependence : std::uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };

// The external port of a new mapping. Preserving, as in Linux: the one that the internal endpoint has in its newest
// other mapping, otherwise the internal port, otherwise a random one, whichever is free first. Sequential: the next.
enum class PortAllocation : std::uint8_t { preserving, sequential, random };

// Who inside can be reached at the external address: nobody, the targets of forwarded ports (Linux), or whatever the
// filter of a mapping allows (RFC 4787, REQ-9).
enum class Hairpinning : std::uint8_t { none, forwarded, all };

struct NatBehaviour {
  Dependence mapping = Dependence::endpoint_independent;
  Dependence filtering = Dependence::address_and_port_dependent;
  PortAllocation ports = PortAllocation::preserving;
  Hairpinning hairpinning = Hairpinning::none;
  // Datagrams from outside keep a mapping open like those from inside (REQ-6 leaves that open; Linux does it).
  bool inbound_refreshes = false;
  bool translates = true;  // false: a firewall
  // For a mapping and its filter entries. REQ-5 asks for 2 minutes; some NATs forget after 30 s.
  Duration timeout = std::chrono::seconds(30);
};

class Nat {
 public:
  Nat(const NatBehaviour& behaviour, const IpAddress& external, Rng& rng);

  // An outgoing datagram: its source as seen outside; nullopt when no port is left.
  std::optional<Endpoint> outbound(const Endpoint& inside, const Endpoint& to, Instant now);
  // A datagram arrives at an external endpoint: its destination inside; nullopt if it is dropped. Creates no mapping.
  std::optional<Endpoint> inbound(const Endpoint& from, const Endpoint& external, Instant now);
  // Everything to this external port goes to `inside`, whose packets leave from that port where it is free.
  void forward(std::uint16_t port, const Endpoint& inside) { forwards_[port] = inside; }
  std::optional<Endpoint> forwarded(std::uint16_t port) const;
  // Forgets all mappings, like a restarting router; forwarded ports stay.
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
    std::map<Endpoint, Instant> remotes;  // the remotes it lets in, and when each was last sent to
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
