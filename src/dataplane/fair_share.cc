// SPDX-License-Identifier: MIT
#include "dataplane/fair_share.h"

#include <algorithm>
#include <vector>

namespace eps::dataplane {
namespace {
constexpr Duration kStep = std::chrono::microseconds(100);
constexpr Duration kBurst = std::chrono::milliseconds(1);
}  // namespace

bool FairShare::admit(MemberId sender, std::size_t bytes, Instant now) {
  if (!congested(now)) return true;
  if (now - window_began_ >= kWindow) end_window(now);
  Sender& s = senders_[sender];
  s.asked += bytes;
  // A share is not spent all at once, as no link has room for that. A sender that has sent nothing yet may send one
  // datagram, however small the share.
  const auto passed = std::min<Duration::rep>((now - window_began_ + kBurst) / kStep, kWindow / kStep);
  const std::size_t due = share_ / static_cast<std::size_t>(kWindow / kStep) * static_cast<std::size_t>(passed);
  if (s.admitted > 0 && s.admitted + bytes > due) return false;
  s.admitted += bytes;
  return true;
}

void FairShare::on_sent(std::size_t taken, std::size_t lost, Instant now) {
  taken_ += taken;
  if (lost == 0) return;
  if (!congested(now)) {
    // Usage is counted from here on; until the window ends, the old limits apply.
    senders_.clear();
    share_ = std::numeric_limits<std::size_t>::max();
    window_began_ = now;
    taken_ = capacity_ = 0;
  }
  lost_ = true;
  congested_until_ = now + kCongestedFor;
}

void FairShare::end_window(Instant now) {
  const auto windows = std::max<Duration::rep>((now - window_began_) / kWindow, 1);
  const std::size_t taken = taken_ / static_cast<std::size_t>(windows);
  if (lost_) {
    capacity_ = capacity_ == 0 ? taken : (capacity_ + taken) / 2;
  } else {
    // There may be more capacity than assumed.
    capacity_ = std::max(capacity_, taken) + capacity_ / 64;
  }
  share_ = fair_share();
  senders_.clear();
  taken_ = 0;
  lost_ = false;
  window_began_ = now;
}

// Each sender's share such that together they need no more than the capacity: small senders get all they asked for, the
// others equal shares.
std::size_t FairShare::fair_share() const {
  std::vector<std::size_t> asked;
  for (const auto& [member, s] : senders_) asked.push_back(s.asked);
  std::sort(asked.begin(), asked.end());
  // Slightly less than the capacity, so that the backlog ahead drains.
  std::size_t left = capacity_ - capacity_ / 20;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const std::size_t each = left / (asked.size() - i);
    if (asked[i] > each) return each;
    left -= asked[i];
  }
  return asked.empty() ? left : left + asked.back();
}

}  // namespace eps::dataplane
