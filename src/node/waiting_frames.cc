// SPDX-License-Identifier: MIT
#include "node/waiting_frames.h"

#include <algorithm>
#include <utility>

#include "l2/parse.h"

namespace eps::node {

void WaitingFrames::add(Queue& queue, Bytes frame, const ports::FrameMeta& meta) {
  if (queue.frames_.size() >= kMaxWaitingFrames || queue.bytes_ + frame.size() > kMaxWaitingBytes) {
    return counters_.drop(Drop::not_ready);
  }
  queue.bytes_ += frame.size();
  queue.frames_.push_back({std::move(frame), meta});
}

void WaitingFrames::flush(Queue& queue, const Mac& self, const dataplane::Peer& to, Instant now,
                          const dataplane::PolicyInForce* policy) {
  if (queue.empty() || !to.ready() || !to.sealing()->may_send(now)) return;
  const Queue waited = std::exchange(queue, {});
  for (const Queue::Frame& frame : waited.frames_) {
    // The segmenter needs headroom before the frame.
    Bytes room(ports::kTapHeadroom + frame.bytes.size());
    std::ranges::copy(frame.bytes, room.begin() + ports::kTapHeadroom);
    const ports::TapFrame tap{ByteSpan(room).subspan(ports::kTapHeadroom), frame.meta};
    const auto info = l2::parse_frame(tap.bytes);
    if (policy != nullptr && info &&
        dropped_by(*policy, to, dataplane::Heading::out, tap.bytes.subspan(info->l3_offset), *info, now)) {
      counters_.drop(Drop::policy);
      continue;
    }
    const l2::MacPair macs{self, to.mac};
    std::span<const l2::Segment> segments;
    const l2::Limits limits{to.max_plain, to.promised_plain};
    const Drop drop = info ? segmenter_.split(tap, *info, &macs, segments, limits) : Drop::malformed;
    if (drop != Drop::none) counters_.drop(drop);
    sender_.send_segments(to, segments, info ? info->traffic_class : 0, now);
    sender_.flush();
  }
}

void WaitingFrames::drop(Queue& queue, Drop reason) {
  counters_.drop(reason, std::exchange(queue, {}).frames_.size());
}

}  // namespace eps::node
