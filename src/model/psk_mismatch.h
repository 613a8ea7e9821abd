// SPDX-License-Identifier: MIT
#pragma once

// How the pre-shared keys of two members differ, from the point of view of one of them. The numbers are on the wire.

#include <cstdint>
#include <string>

namespace eps {

enum class PskMismatch : std::uint8_t { none = 0, self_alone = 1, peer_alone = 2, differs = 3 };

// From the other's point of view.
inline PskMismatch seen_from_the_peer(PskMismatch mismatch) {
  if (mismatch == PskMismatch::self_alone) return PskMismatch::peer_alone;
  return mismatch == PskMismatch::peer_alone ? PskMismatch::self_alone : mismatch;
}

// Sentences. REQUIRES: not `none`.
inline std::string sentence_of(PskMismatch mismatch, const std::string& peer) {
  if (mismatch == PskMismatch::differs) return "This computer and " + peer + " have different pre-shared keys.";
  return mismatch == PskMismatch::self_alone
             ? "This computer has a pre-shared key (--psk-file), and " + peer + " has none."
             : peer + " has a pre-shared key (--psk-file), and this computer has none.";
}
inline std::string remedy_of(PskMismatch mismatch, const std::string& peer) {
  if (mismatch == PskMismatch::differs)
    return "Copy the file of --psk-file from one to the other, and start that again.";
  return mismatch == PskMismatch::self_alone
             ? "Give " + peer + " the same file, with --psk-file; that takes EPS 0.2 or later there."
             : "Copy the file from there, and start eps-client here with --psk-file.";
}

}  // namespace eps
