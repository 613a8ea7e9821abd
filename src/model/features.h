// SPDX-License-Identifier: MIT
#pragma once

// What a program supports beyond version 0.1: a set of bits that both ends of a handshake, and both ends of a control
// connection, exchange. New behaviour is used only with peers that support it. Bits are never reused; unknown ones are
// ignored.

#include <cstdint>
#include <initializer_list>

namespace eps {

enum class Feature : std::uint32_t {
  path_mtu = 1U << 0,     // answers padded pings with small pongs, reassembles fragments
  path_counts = 1U << 1,  // answers a counted ping with the number of datagrams that arrived
  ecn = 1U << 2,          // copies ECN marks of the outer header to the inner packet (RFC 6040)
  groups = 1U << 3,       // says which multicast it takes, and leaves out what a peer does not take
  lock = 1U << 9,         // control connection: the network lock (wire::Lock, LockChange, LockAnswer)
  records = 1U << 8,      // control connection: stable fields by signed records, volatile ones apart (wire::Records,
                          // States)
  rekey = 1U << 10,       // control connection: new keys while it lasts (wire::Rekey)
  recovery = 1U << 11,    // control connection: the member list may begin anew (MemberList::recovery())
};

class Features {
 public:
  constexpr Features() = default;
  constexpr explicit Features(std::uint32_t bits) : bits_(bits) {}
  constexpr Features(std::initializer_list<Feature> all) {
    for (const Feature f : all) bits_ |= static_cast<std::uint32_t>(f);
  }
  constexpr bool has(Feature f) const { return (bits_ & static_cast<std::uint32_t>(f)) != 0; }
  constexpr std::uint32_t bits() const { return bits_; }
  // Those that both have.
  constexpr friend Features operator&(Features a, Features b) { return Features(a.bits_ & b.bits_); }
  constexpr bool operator==(const Features&) const = default;

 private:
  std::uint32_t bits_ = 0;
};

// The features of this program. The commit that implements a feature adds its bit.
inline constexpr Features kOwnFeatures{Feature::path_mtu, Feature::path_counts, Feature::ecn,   Feature::groups,
                                       Feature::records,  Feature::lock,        Feature::rekey, Feature::recovery};

}  // namespace eps
