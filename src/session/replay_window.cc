// SPDX-License-Identifier: MIT
#include "session/replay_window.h"

#include <algorithm>

namespace eps::session {

bool ReplayWindow::would_accept(std::uint32_t counter) const {
  if (counter >= end_) return true;
  if (too_old(counter)) return false;
  return (words_[slot_of(counter / kWordBits)] & bit_of(counter)) == 0;
}

bool ReplayWindow::accept(std::uint32_t counter) {
  if (counter >= end_) {
    move_to(counter);
  } else if (too_old(counter)) {
    return false;
  }
  std::uint64_t& word = words_[slot_of(counter / kWordBits)];
  const std::uint64_t bit = bit_of(counter);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

// Clears every word that the window enters; that is none while the counter stays in the word of the highest, because
// the bits above the highest were never set.
void ReplayWindow::move_to(std::uint32_t counter) {
  const std::uint64_t last = counter / kWordBits;
  // Words below `first` are kept. Before the first counter, none is in use and all are zero.
  const std::uint64_t first = end_ == 0 ? last : (end_ - 1) / kWordBits + 1;
  if (first <= last) {
    const std::uint64_t count = std::min<std::uint64_t>(last - first + 1, kWords);
    for (std::uint64_t i = 0; i < count; ++i) words_[slot_of(last - i)] = 0;
  }
  end_ = std::uint64_t{counter} + 1;
}

}  // namespace eps::session
