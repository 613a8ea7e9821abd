// SPDX-License-Identifier: MIT
#include "dataplane/group_guard.h"

#include <algorithm>

namespace eps::dataplane {
namespace {
// Headers, and enough of the content to distinguish two frames of one program.
constexpr std::size_t kHashed = 256;
constexpr Duration kWindow = std::chrono::seconds(1);
}  // namespace

bool LoopWatch::goes_round(ByteView frame, const GroupState& state, MemberId self, Instant now) {
  const std::uint64_t hash = hash_bytes(frame.first(std::min(frame.size(), kHashed)));
  Seen& seen = seen_[hash % seen_.size()];
  if (seen.hash != hash || now - seen.since > kWindow) seen = {hash, now, 0};
  if (++seen.count < kSameFrames) return false;
  if (now - since_ > kWindow) {
    since_ = now;
    repetitions_ = 0;
  }
  const Instant twin_at{Duration(state.twin_at.load(std::memory_order_relaxed))};
  const bool other_gives_way = now - twin_at < kTwinSeen && self.value < state.twin.load(std::memory_order_relaxed);
  return ++repetitions_ >= (other_gives_way ? kRepetitionsOfTheOther : kRepetitions);
}

}  // namespace eps::dataplane
