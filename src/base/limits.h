// SPDX-License-Identifier: MIT
#pragma once

// Named maxima that several rooms rely on. The code that enforces a maximum documents what happens when it is reached.

#include <cstddef>
#include <cstdint>

namespace eps {

inline constexpr std::uint16_t kDefaultPort = 43439;
inline constexpr std::uint16_t kDefaultMtu = 1500;  // of the EPS interface, as of any Ethernet
inline constexpr std::uint16_t kOldMtu = 1400;      // at most for version 0.1, which cuts nothing; see wire/datagram.h
inline constexpr std::uint16_t kMinMtu = 576;
inline constexpr std::uint16_t kMinIp6Mtu = 1280;  // RFC 8200: with less there is no IPv6
inline constexpr std::uint16_t kMaxMtu = 65500;    // a frame with two VLAN tags has 16 bits of length in fragments

inline constexpr std::size_t kMaxMembers = 16384;   // of one network; further joins are refused
inline constexpr std::size_t kMaxNameSize = 63;     // bytes of a member's name (RFC 1123 label)
inline constexpr std::size_t kMaxCandidates = 16;   // announced by a member; the rest is cut
inline constexpr std::size_t kMaxGrants = 8;        // ranges of further addresses of one member; more are refused
inline constexpr std::size_t kMaxMemberGroups = 8;  // of the policy that one member is in; more are refused
inline constexpr std::size_t kMaxGroupName = 24;    // bytes
// Bytes of a policy: with the signature of the list it fits into one message of the control protocol.
inline constexpr std::size_t kMaxPolicyText = 60'000;
inline constexpr std::size_t kMaxVersionSize = 64;  // bytes of a program version

}  // namespace eps
