// SPDX-License-Identifier: MIT
#pragma once

// Frames that wait for a session with a peer, or for a path to it. Each peer has its own queue, with a bound; frames
// leave in the order in which they came.

#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "base/types.h"
#include "dataplane/commit.h"
#include "dataplane/frame_sender.h"
#include "dataplane/peer_table.h"
#include "l2/segment.h"
#include "model/counters.h"
#include "ports/tap.h"

namespace eps::node {

// Per peer: the newest is dropped beyond either limit.
inline constexpr std::size_t kMaxWaitingBytes = 256 * 1024;
inline constexpr std::size_t kMaxWaitingFrames = 64;

class WaitingFrames {
 public:
  // The part of one peer.
  class Queue {
   public:
    bool empty() const { return frames_.empty(); }

   private:
    friend class WaitingFrames;
    struct Frame {
      Bytes bytes;
      ports::FrameMeta meta;
    };
    std::vector<Frame> frames_;
    std::size_t bytes_ = 0;
  };

  WaitingFrames(dataplane::Outbox& out, Counters& counters) : counters_(counters), sender_(out, counters) {}

  void add(Queue& queue, Bytes frame, const ports::FrameMeta& meta);
  // Sends all of them by the route `to`; none as long as nothing can be sealed for it. `self`: this node's MAC.
  // `policy`: decides which of them may; null: all.
  void flush(Queue& queue, const Mac& self, const dataplane::Peer& to, Instant now,
             const dataplane::PolicyInForce* policy = nullptr);
  void drop(Queue& queue, Drop reason);

 private:
  Counters& counters_;
  l2::Segmenter segmenter_;
  dataplane::FrameSender sender_;
};

}  // namespace eps::node
