// SPDX-License-Identifier: MIT
#include "mesh/path_quality.h"

#include <algorithm>
#include <cmath>

namespace eps::mesh {
namespace {
constexpr double kLeastTimeout = 200;  // ms, TCP_RTO_MIN of Linux
constexpr Duration kUnmeasured = std::chrono::milliseconds(50);
double ms(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}
}  // namespace

void PathQuality::on_ping(std::uint64_t id, bool counts, Instant now) {
  asked_.resize(kAsked);
  asked_[next_++ % kAsked] = {id, now, counts};
}

std::optional<Duration> PathQuality::on_pong(std::uint64_t id, Instant now) {
  const auto it = std::ranges::find(asked_, id, &Asked::id);
  if (id == 0 || it == asked_.end()) return std::nullopt;
  const Duration round_trip = now - it->at;
  // On a way that is only being searched, losses do not count, so answers must not either.
  if (it->counts) count(2, 0, now);
  *it = {};
  on_round_trip(round_trip);
  return round_trip;
}

void PathQuality::on_round_trip(Duration round_trip) {
  // What is answered twice as fast is that fast: a peer that stood still for a moment has delayed the answers before.
  const bool waited = round_trip_ && round_trip < *round_trip_ / 2;
  round_trip_ = round_trip_ && !waited ? (*round_trip_ * 3 + round_trip) / 4 : round_trip;
}

void PathQuality::on_counts(std::uint64_t sent, std::int64_t lost, Instant now) {
  count(static_cast<double>(sent), static_cast<double>(lost), now);
}

void PathQuality::expire(Instant now) {
  const Duration patience = std::max(kLostAfter, 4 * round_trip_.value_or(Duration::zero()));
  for (Asked& asked : asked_) {
    if (!asked.counts || now - asked.at < patience) continue;
    asked.counts = false;  // a late answer still proves the way
    count(2, 1, now);
  }
}

void PathQuality::cancel() {
  for (Asked& asked : asked_) asked.counts = false;
}

void PathQuality::forget() {
  asked_.clear();
  seen_ = lost_ = 0;
  lossy_ = false;
}

void PathQuality::count(double seen, double lost, Instant now) {
  const double halves = std::max(0.0, ms(now - counted_at_) / ms(kHalfLife));
  const double left = counted_at_ == Instant{} ? 0 : std::exp2(-halves);
  counted_at_ = now;
  seen_ = seen_ * left + seen;
  lost_ = lost_ * left + lost;
  // Leaving the state takes as much evidence as cost() needs.
  if (lossy_) {
    lossy_ = (lost_ + 0.5) / (seen_ + 10) > kClean;
  } else {
    lossy_ = seen_ >= kEnough && lost_ >= kEnoughLost && loss() >= kLossy;
  }
}

double PathQuality::cost() const {
  const double p = std::min(1.0, (std::max(0.0, lost_) + 0.5) / (seen_ + 10));
  const double r = ms(round_trip_.value_or(kUnmeasured));
  const double timeout = r + kLeastTimeout;
  return r * std::sqrt(2 * p / 3) + timeout * std::min(1.0, 3 * std::sqrt(3 * p / 8)) * p * (1 + 32 * p * p);
}

void PathTally::on_ping(std::uint64_t id, std::uint64_t key, const Sent& sent, Instant now) {
  if (key_ != key) {
    key_ = key;
    since_ = now;
  }
  if (now - since_ < kSettle) return;
  asked_.resize(kAsked);
  asked_[next_++ % kAsked] = {id, key, sent, {}};
}

std::optional<PathTally::Result> PathTally::on_pong(std::uint64_t id, const Came& came) {
  const auto it = std::ranges::find(asked_, id, &Mark::id);
  if (id == 0 || it == asked_.end()) return std::nullopt;
  Mark now = *it;
  *it = {};
  now.came = came;
  const Mark before = last_;
  // A pong that was overtaken would count backwards.
  const bool same = before.id != 0 && before.key == now.key;
  if (same && now.sent.datagrams < before.sent.datagrams) return std::nullopt;
  last_ = now;
  if (!same) return std::nullopt;
  const std::uint64_t sent = now.sent.datagrams - before.sent.datagrams;
  // The peer's counters wrap; and they go back if its workers read them in another order than its pongs left.
  const auto grown = [](std::uint32_t from, std::uint32_t to) { return static_cast<std::int32_t>(to - from); };
  std::int64_t lost = static_cast<std::int64_t>(sent) - grown(before.came.arrived, now.came.arrived);
  // Drops at either end for lack of time or room are not losses of the way.
  const std::int64_t excused = static_cast<std::int64_t>(now.sent.dropped_here - before.sent.dropped_here) +
                               std::max(0, grown(before.came.lost_there, now.came.lost_there));
  if (lost > 0) lost = std::max<std::int64_t>(0, lost - excused);
  return Result{sent, lost, now.key};
}

}  // namespace eps::mesh
