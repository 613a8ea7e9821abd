// SPDX-License-Identifier: MIT
#include "dataplane/fragments.h"

#include <algorithm>

#include "l2/inner.h"

namespace eps::dataplane {

Reassembly::Taken Reassembly::take(ByteView content, std::uint8_t traffic_class, Instant now) {
  Taken out;
  const auto fragment = wire::parse_fragment(content);
  if (!fragment) {
    out.drop = Drop::malformed;
    return out;
  }
  const Lock lock(mutex_);
  auto frame = std::ranges::find_if(frames_, [&](const Frame& f) { return f.first.id == fragment->id; });
  if (frame == frames_.end()) {
    out.lost = make_room(fragment->total, now);
    frames_.push_back({*fragment, now, fragment->count, {}, false, Bytes(wire::kDataHeaderSize + fragment->total)});
    bytes_ += fragment->total;
    frame = frames_.end() - 1;
  } else if (frame->first.total != fragment->total || frame->first.count != fragment->count ||
             frame->have.test(fragment->index)) {
    out.drop = Drop::malformed;
    return out;
  }
  const ByteView piece = content.subspan(wire::kFragmentHeaderSize);
  std::ranges::copy(piece, frame->bytes.data() + wire::kDataHeaderSize + fragment->offset());
  frame->have.set(fragment->index);
  frame->marked |= (traffic_class & l2::kEcnMask) == l2::kEcnCongestion;
  if (--frame->missing == 0) {
    out.joined = std::move(frame->bytes);
    out.traffic_class = frame->marked ? traffic_class | l2::kEcnCongestion : traffic_class;
    bytes_ -= frame->first.total;
    frames_.erase(frame);
  }
  return out;
}

std::size_t Reassembly::expire(Instant now) {
  const Lock lock(mutex_);
  return make_room(0, now);
}

// Discards what is too old, and the oldest until `size` more bytes fit.
std::size_t Reassembly::make_room(std::size_t size, Instant now) {
  std::size_t lost = 0;
  while (lost < frames_.size()) {
    const std::size_t left = frames_.size() - lost;
    const bool full = size > 0 && (bytes_ + size > kMaxBytes || left >= kMaxFrames);
    if (!full && now - frames_[lost].since <= kMaxAge) break;
    bytes_ -= frames_[lost++].first.total;
  }
  frames_.erase(frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(lost));
  return lost;
}

}  // namespace eps::dataplane
