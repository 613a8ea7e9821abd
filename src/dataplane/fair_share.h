// SPDX-License-Identifier: MIT
#pragma once

// Shares a congested link among its senders, so that one who floods it does not starve the others: max-min fairness
// (nobody gets more at the expense of somebody who has less), over windows of 10 ms. Costs nothing as long as nothing
// is lost.

#include <cstddef>
#include <limits>
#include <unordered_map>

#include "base/time.h"
#include "base/types.h"

namespace eps::dataplane {

// Thread rules: one thread at a time.
class FairShare {
 public:
  static constexpr Duration kWindow = std::chrono::milliseconds(10);
  static constexpr Duration kCongestedFor = std::chrono::seconds(1);  // after the last loss

  // Whether this many bytes of this sender may pass.
  bool admit(MemberId sender, std::size_t bytes, Instant now);
  // While this is true, the senders that got least in this window go first.
  bool congested(Instant now) const { return now < congested_until_; }
  std::size_t admitted(MemberId sender) const {
    const auto it = senders_.find(sender);
    return it == senders_.end() ? 0 : it->second.admitted;
  }
  // The fate of what was admitted: sent, or lost for lack of room.
  void on_sent(std::size_t taken, std::size_t lost, Instant now);

 private:
  struct Sender {
    std::size_t asked = 0;  // in this window
    std::size_t admitted = 0;
  };
  void end_window(Instant now);
  std::size_t fair_share() const;

  Instant congested_until_{};
  Instant window_began_{};
  std::unordered_map<MemberId, Sender> senders_;
  std::size_t taken_ = 0;     // in this window
  bool lost_ = false;         // in this window
  std::size_t capacity_ = 0;  // bytes per window, as far as known
  std::size_t share_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace eps::dataplane
