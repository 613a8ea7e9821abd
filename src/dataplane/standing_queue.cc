// SPDX-License-Identifier: MIT
#include "dataplane/standing_queue.h"

#include <algorithm>
#include <cmath>

namespace eps::dataplane {
namespace {

Duration pause_after(unsigned losses) {
  return std::chrono::duration_cast<Duration>(StandingQueue::kInterval / std::sqrt(static_cast<double>(losses)));
}

}  // namespace

void StandingQueue::on_read(bool drained, Instant now) {
  if (drained) {
    standing_since_ = kNever;
    losing_ = false;
  } else {
    standing_since_ = std::min(standing_since_, now);
  }
}

bool StandingQueue::wants_loss(Instant now) {
  if (!losing_) {
    if (standing_since_ == kNever || now - standing_since_ < kInterval) return false;
    // Soon after an earlier episode about as many losses are needed as then.
    losses_ = losses_ > 2 && now - next_loss_ < 16 * kInterval ? losses_ - 2 : 1;
    losing_ = true;
  } else if (now >= next_loss_) {
    ++losses_;
  } else {
    return false;
  }
  next_loss_ = now + pause_after(losses_);
  return true;
}

}  // namespace eps::dataplane
