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
             ? "This computer has a pre-shared key for " + peer + " (--psk-file), which has none for this computer."
             : peer + " has a pre-shared key for this computer (--psk-file), which has none for " + peer + ".";
}
inline std::string remedy_of(PskMismatch mismatch, const std::string& peer) {
  if (mismatch == PskMismatch::differs)
    return "Give both the same key in the files of --psk-file, and start again what has a new one.";
  return mismatch == PskMismatch::self_alone
             ? "Give " + peer + " the same key, with --psk-file; that takes EPS 0.2 or later there."
             : "Copy the key from there, and start eps-client here with --psk-file.";
}

}  // namespace eps
