#pragma once

// Named maxima that more than one room relies on. What happens at each is said where it is enforced.

#include <cstddef>
#include <cstdint>

namespace eps {

inline constexpr std::uint16_t kDefaultPort = 43439;
inline constexpr std::uint16_t kDefaultMtu = 1400;  // of the EPS interface; see wire/datagram.h for the sum
inline constexpr std::uint16_t kMinMtu = 576;
inline constexpr std::uint16_t kMaxMtu = 9000;

inline constexpr std::size_t kMaxMembers = 16384;   // of one network; the next join is refused
inline constexpr std::size_t kMaxNameSize = 63;     // bytes of a member's name (RFC 1123 label)
inline constexpr std::size_t kMaxCandidates = 16;   // that a member may announce; the rest is cut
inline constexpr std::size_t kMaxVersionSize = 64;  // bytes of a program version

}  // namespace eps
