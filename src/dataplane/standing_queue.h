// SPDX-License-Identifier: MIT
#pragma once

// Keeps short a queue of the kernel's in front of us (the TAP's, the UDP socket's), whose length cannot be seen but of
// which every read tells whether it left something behind. A queue that is never found empty for a whole interval is a
// standing queue: it delays everything and buys no throughput. Then senders are told, by the loss of one packet, sooner
// and sooner, until the queue has been empty for a moment. This is CoDel (RFC 8289) with "empty" in the place of its
// target of 5 ms, and its control law.

#include "base/time.h"

namespace eps::dataplane {

// Thread rules: one thread at a time.
class StandingQueue {
 public:
  // Above the round trip of the flows that can saturate a data plane: those within a building.
  static constexpr Duration kInterval = std::chrono::milliseconds(10);

  // After every read: `drained` if it left nothing behind.
  void on_read(bool drained, Instant now);
  // Whether a packet of what was just read is to be lost. Ask only where there is one that may be: bulk traffic, whose
  // sender goes slower for it. A true is meant for one packet.
  bool wants_loss(Instant now);

 private:
  Instant standing_since_ = kNever;
  bool losing_ = false;
  unsigned losses_ = 0;  // since losing began, or as many as an earlier time has shown to be needed
  Instant next_loss_{};
};

}  // namespace eps::dataplane
