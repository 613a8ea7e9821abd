// SPDX-License-Identifier: MIT
#pragma once

// Keeps a kernel queue in front of us short (the TAP's, the UDP socket's). Its length is not visible, but every read
// shows whether it left something behind. A queue that is not found empty for a whole interval is a standing queue: it
// delays everything without increasing throughput. Then senders are signalled, by losing one packet at a time at
// shrinking intervals, until the queue has been empty for a moment. This is CoDel (RFC 8289) with "empty" in place of
// its target of 5 ms, and with its control law.

#include "base/time.h"

namespace eps::dataplane {

// Thread rules: one thread at a time.
class StandingQueue {
 public:
  // Above the round trip of flows that can saturate a data plane: those within a building.
  static constexpr Duration kInterval = std::chrono::milliseconds(10);

  // After every read: `drained` if it left nothing behind.
  void on_read(bool drained, Instant now);
  // Whether to drop a packet of what was just read. Ask only if there is a suitable one: bulk traffic, whose sender
  // slows down in response. Each true result is for one packet.
  bool wants_loss(Instant now);

 private:
  Instant standing_since_ = kNever;
  bool losing_ = false;
  unsigned losses_ = 0;  // since losing began, or as many as an earlier episode has shown to be needed
  Instant next_loss_{};
};

}  // namespace eps::dataplane
