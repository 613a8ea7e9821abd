// SPDX-License-Identifier: MIT
#include "mesh/path_mtu.h"

#include <algorithm>

namespace eps::mesh {
namespace {

// IP packets: the least of IPv6, tunnels and mobile networks, WireGuard, 6in4, PPPoE, Ethernet, jumbo frames.
constexpr std::array<std::size_t, 8> kLadder = {1280, 1400, 1420, 1480, 1492, 1500, 4352, 9000};
constexpr std::size_t kExact = 8;       // a size known to within this many bytes is exact
constexpr std::size_t kFinerSizes = 6;  // between two
constexpr int kLadderRounds = 2;
constexpr int kRounds = 6;

// RFC 791 and RFC 8200 know no smaller ones. Behind a relay it may be the other family, with larger headers.
std::size_t smallest(const Way& way, std::size_t headers) {
  return way.direct() && headers == kIpUdp6 ? 1280 - kIpUdp6 : 576 - kIpUdp6;
}

}  // namespace

const PathMtu::Known* PathMtu::find(const Way& way) const {
  const auto it = std::ranges::find(known_, way, &Known::way);
  return it == known_.end() ? nullptr : &*it;
}

void PathMtu::use(const Way& way, std::size_t headers, std::size_t wanted, Instant now) {
  wanted = std::max(wanted, smallest(way, headers));
  const auto at = std::ranges::find(known_, way, &Known::way);
  if (at == known_.end() || at->headers != headers || at->wanted != wanted) {
    if (at != known_.end()) {
      known_.erase(at);
    } else if (known_.size() == kMaxSizedWays) {
      known_.erase(known_.begin());
    }
    Known& known = known_.emplace_back();
    known.way = way;
    known.headers = headers;
    known.wanted = wanted;
    known.size = smallest(way, headers);
    known.next = now;
  } else if (at + 1 != known_.end()) {
    std::rotate(at, at + 1, known_.end());
    // It may have changed meanwhile.
    Known& known = known_.back();
    known.unanswered = 0;
    known.next = now;
  }
}

void PathMtu::moved() {
  known_.clear();
}

PathMtu::Probe PathMtu::ask(const Known& known, std::size_t size) {
  const std::uint64_t id = rng_->u64();
  asked_.resize(kAsked);
  asked_[next_asked_++ % kAsked] = {id, size, known.way};
  return {known.way, id, size};
}

std::vector<PathMtu::Probe> PathMtu::take_due(bool large_flows, std::optional<Duration> round_trip, Instant now) {
  std::vector<Probe> out;
  if (known_.empty()) return out;
  Known& known = known_.back();
  if (!known.searching && large_flows) {
    const bool raise = known.size < known.wanted && now - known.searched_at >= kRaiseEvery;
    if (!known.measured || raise) begin(known, now);
  }
  if (!known.searching && now >= known.next && (large_flows || known.unanswered > 0)) {
    check(known, round_trip, out, now);
  }
  // A round may have nothing left to ask.
  while (known.searching && out.empty() && now >= known.next) search(known, round_trip, out, now);
  return out;
}

void PathMtu::begin(Known& known, Instant now) {
  known.searching = known.measured = true;
  known.round = 0;
  known.refused = known.wanted + 1;
  known.unanswered = 0;
  known.next = now;
}

void PathMtu::search(Known& known, std::optional<Duration> round_trip, std::vector<Probe>& out, Instant now) {
  const auto unanswered = [&] { return std::ranges::upper_bound(known.asked, known.size); };
  if (known.round < kLadderRounds) {
    known.asked.clear();
    for (const std::size_t packet : kLadder) {
      if (packet - known.headers < known.wanted) known.asked.push_back(packet - known.headers);
    }
    known.asked.push_back(known.wanted);
  } else {
    if (const auto first = unanswered(); first != known.asked.end()) known.refused = std::min(known.refused, *first);
    // If Ethernet's own size passes and the next does not, there is nothing in between.
    const bool ethernet = known.size + known.headers == 1500 && known.refused + known.headers <= 1600;
    if (ethernet || known.refused <= known.size + kExact || known.round >= kRounds) {
      known.searching = false;
      known.searched_at = now;
      known.next = now + kCheckEvery;
      return;
    }
    known.asked.clear();
    const std::size_t gap = known.refused - known.size;
    const std::size_t step = std::max(kExact, (gap + kFinerSizes) / (kFinerSizes + 1));
    for (std::size_t size = known.size + step; size < known.refused; size += step) known.asked.push_back(size);
  }
  for (auto size = unanswered(); size != known.asked.end(); ++size) out.push_back(ask(known, *size));
  ++known.round;
  if (!out.empty()) known.next = now + std::max(kSearchPauseMin, 2 * round_trip.value_or(Duration::zero()));
}

void PathMtu::check(Known& known, std::optional<Duration> round_trip, std::vector<Probe>& out, Instant now) {
  if (known.unanswered == kLostChecks) {
    known.unanswered = 0;
    known.next = now + kCheckEvery;
    // If nothing at all is answered, size is not the problem of the way.
    if (!known.small_passes) return;
    known.size = smallest(known.way, known.headers);
    shrunk_ = true;
    return begin(known, now);
  }
  if (known.unanswered == 0) known.small_passes = false;
  out.push_back(ask(known, known.size));
  if (known.unanswered > 0) out.push_back(ask(known, 0));
  ++known.unanswered;
  known.next = now + std::max(kCheckAgain, round_trip.value_or(Duration::zero()) * 3 / 2);
}

bool PathMtu::on_answer(std::uint64_t id, Instant now) {
  const auto asked = std::ranges::find_if(asked_, [&](const Asked& a) { return a.id == id && a.id != 0; });
  if (asked == asked_.end()) return false;
  const std::size_t size = asked->size;
  const auto known = std::ranges::find(known_, asked->way, &Known::way);
  asked->id = 0;
  if (known == known_.end()) return false;
  if (size == 0) known->small_passes = true;
  if (!known->searching && size >= known->size) {
    known->unanswered = 0;
    known->next = now + kCheckEvery;
  }
  if (size <= known->size || size > known->wanted) return false;
  known->size = size;
  // Everything was answered: the next round need not wait.
  if (known->searching && size == known->asked.back()) known->next = now;
  return known + 1 == known_.end();
}

Instant PathMtu::next_deadline() const {
  if (known_.empty()) return kNever;
  const Known& known = known_.back();
  return known.searching || known.unanswered > 0 ? known.next : kNever;
}

std::size_t PathMtu::datagram(const Way& way, std::size_t headers) const {
  const Known* known = find(way);
  return known != nullptr && known->headers == headers ? known->size : smallest(way, headers);
}

std::optional<std::size_t> PathMtu::path_mtu(const Way& way) const {
  const Known* known = find(way);
  if (known == nullptr || !known->measured) return std::nullopt;
  return known->size + known->headers;
}

bool PathMtu::settled(const Way& way) const {
  const Known* known = find(way);
  return known != nullptr && known->measured && !known->searching;
}

}  // namespace eps::mesh
