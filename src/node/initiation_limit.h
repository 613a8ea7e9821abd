// SPDX-License-Identifier: MIT
#pragma once

// Limits what initiations of strangers may cost. A valid mac1 shows only that the sender knows this node's public key,
// which every former member does, so no flood may take the capacity that another's handshake needs:
//
//   relayed     each origin, which the relay vouches for, has a rate of its own
//   under load  beyond kLoadLimit in a second the sender first proves with a cookie that it receives where it sends
//               from; direct and relayed ones are counted apart. Each address that a peer may have is offered a cookie
//               at once, and all others together kCookieRate of them in a second, as an offer costs more than all
//               other tests and the sources of a flood are forged
//   proved      each source (an IPv4 address, a /64 of IPv6, a member behind a relay) has a rate of its own
//
// Thread rules: one thread.

#include <map>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace eps::node {

inline constexpr int kLoadLimit = 100;    // a second
inline constexpr int kCookieRate = 1000;  // a second, in all, to addresses that no peer has
inline constexpr int kSourceRate = 20;    // a second, after a cookie; suffices for a LAN behind one NAT
inline constexpr int kPeerRate = 50;      // a second: how often one member's key is answered
inline constexpr std::size_t kMaxInitiationSources = 4096;

class InitiationLimit {
 public:
  // Counts an initiation. True: its sender must prove its address.
  bool under_load(bool relayed, Instant now);
  // Whether the sender of an initiation without a cookie, which arrived directly from here, is offered one.
  bool offers_cookie(const IpAddress& source, Instant now);
  // Whether the addresses that peers may have should be set again: under load, once a second.
  bool wants_addresses(Instant now) const;
  void set_addresses(std::vector<IpAddress> addresses, Instant now);
  // Counts an initiation from this proven source. False: too many.
  bool admit(const IpAddress& source, Instant now);
  std::size_t sources() const { return due_.size(); }

 private:
  struct Window {
    Instant began{};
    int count = 0;
    int add(Instant now);  // the number of this one
  };
  Window direct_, relayed_, cookies_;
  std::vector<IpAddress> addresses_;  // sorted
  Instant addresses_at_{};
  std::map<IpAddress, Instant> due_;  // when the burst of each source is available again
  Instant swept_at_{};
};

}  // namespace eps::node
