// SPDX-License-Identifier: MIT
#include "node/broadcasts.h"

#include <algorithm>

#include "l2/parse.h"

namespace eps::node {
namespace {

constexpr Duration kBurst = kBroadcastPause * (kBroadcastSessions - 1);

// A hash of the content: the number of an IPv4 packet and the checksum over it change with each repetition.
std::size_t identity_of(ByteView frame) {
  const auto info = l2::parse_frame(frame);
  if (!info || info->ip_version != 4) return hash_bytes(frame);
  const std::size_t ip = info->l3_offset;
  return hash_bytes(frame.first(ip + 4)) * 31 + hash_bytes(frame.subspan(ip + 12));
}

}  // namespace

std::size_t Broadcasts::add(Frame frame, std::vector<MemberId> missing, Instant now) {
  const std::size_t identity = identity_of(frame.bytes);
  std::erase_if(kept_, [&](const Kept& k) { return k.identity == identity || now - k.since > kBroadcastLife; });
  if (missing.empty()) return 0;
  std::size_t gave_way = 0;
  for (; kept_.size() >= kMaxBroadcasts; ++gave_way) kept_.pop_front();
  kept_.push_back({std::move(frame), identity, std::move(missing), now});
  return gave_way;
}

std::optional<Broadcasts::Turn> Broadcasts::next(Rng& rng, Instant now) {
  std::erase_if(kept_, [&](const Kept& k) { return now - k.since > kBroadcastLife; });
  if (kept_.empty() || now < next_deadline()) return std::nullopt;
  due_ = std::max(due_, now) + kBroadcastPause;
  const auto& missing = kept_.front().missing;
  // In random order, or the same few would always be first.
  const MemberId to = missing[rng.below(missing.size())];
  return Turn{to, take(to)};
}

std::vector<Broadcasts::Frame> Broadcasts::take(MemberId member) {
  std::vector<Frame> out;
  for (Kept& k : kept_) {
    if (std::erase(k.missing, member) == 0) continue;
    k.missing.empty() ? out.push_back(std::move(k.frame)) : out.push_back(k.frame);
  }
  std::erase_if(kept_, [](const Kept& k) { return k.missing.empty(); });
  return out;
}

Instant Broadcasts::next_deadline() const {
  if (kept_.empty()) return kNever;
  return due_ - Instant{} > kBurst ? due_ - kBurst : Instant{};
}

}  // namespace eps::node
