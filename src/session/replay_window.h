// SPDX-License-Identifier: MIT
#pragma once

// Which counters of a session were already accepted: the window of RFC 6479, a ring of bitmap words.
//
//   ... | word | word |  ...  128 words  ...  | word | spare ...        each word holds 64 counters
//                ^ oldest still acceptable          ^ highest accepted
//
// Moving the window means clearing the words that it enters, without shifting. The one spare word lets the window hold
// all of its 8,192 counters wherever in a word the highest is.
//
// Counters are the 32 bits on the wire and are never reconstructed: a session ends long before they could wrap.

#include <array>
#include <cstddef>
#include <cstdint>

namespace eps::session {

class ReplayWindow {
 public:
  // At a million packets a second this is 8 ms; a move from a relayed to a direct path reorders by a few.
  static constexpr std::uint32_t kSize = 8192;

  // Whether accept() would accept it: it was not accepted before, and it is above the highest accepted or one of the
  // kSize counters that end with it.
  bool would_accept(std::uint32_t counter) const;

  // Accepts the counter if possible, and says whether it did. REQUIRES: the datagram with it is authentic, otherwise a
  // forger could move the window.
  bool accept(std::uint32_t counter);

  // The highest accepted plus one; 0 before the first.
  std::uint64_t end() const { return end_; }

 private:
  static constexpr std::uint32_t kWordBits = 64;
  static constexpr std::size_t kWords = kSize / kWordBits + 1;

  static std::size_t slot_of(std::uint64_t word) { return static_cast<std::size_t>(word % kWords); }
  static std::uint64_t bit_of(std::uint32_t counter) { return std::uint64_t{1} << (counter % kWordBits); }
  bool too_old(std::uint32_t counter) const { return std::uint64_t{counter} + kSize < end_; }
  void move_to(std::uint32_t counter);

  std::uint64_t end_ = 0;  // 64 bits, so that the highest counter has a successor
  std::array<std::uint64_t, kWords> words_{};
};

}  // namespace eps::session
