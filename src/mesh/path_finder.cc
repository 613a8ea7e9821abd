// SPDX-License-Identifier: MIT
#include "mesh/path_finder.h"

#include <algorithm>
#include <cmath>

#include "model/address_kinds.h"

namespace eps::mesh {
namespace {

using Origin = WayStatus::Origin;

constexpr int kLanRank = 0;     // and 1 for IPv4
constexpr int kPublicRank = 2;  // and 3 for IPv4
constexpr int kHeardRank = 10;
constexpr int kRelayRank = 20;  // the server's, 21 of a member

// Maximum age of a way's last answer for falling back on it without asking.
constexpr Duration kFresh = std::chrono::seconds(1);
// Maximum age of its last answer for moving there from a way that works.
constexpr Duration kRecent = kSampleOther + std::chrono::seconds(1);
constexpr Duration kSocketRest = std::chrono::seconds(30);  // longer than a keepalive's pause
// An assumed round trip while none was measured.
constexpr Duration kUnmeasured = std::chrono::milliseconds(600);

// Whether both addresses lie in one /24 or /64: likely on one link.
bool same_net(const IpAddress& a, const IpAddress& b) {
  if (a.is_v4() != b.is_v4()) return false;
  return equal(ByteView(a.bytes).first(a.is_v4() ? 15 : 8), ByteView(b.bytes).first(a.is_v4() ? 15 : 8));
}

int rank_of(const Candidate& candidate, const std::vector<IpAddress>& own) {
  const IpAddress& ip = candidate.endpoint.ip;
  const int v4 = ip.is_v4() ? 1 : 0;
  const bool near = std::ranges::any_of(own, [&](const IpAddress& mine) { return same_net(mine, ip); });
  return near || (candidate.kind == Candidate::Kind::local && is_private(ip)) ? kLanRank + v4 : kPublicRank + v4;
}

Origin origin_of(Candidate::Kind kind) {
  switch (kind) {
    case Candidate::Kind::local:
      return Origin::local;
    case Candidate::Kind::observed:
      return Origin::observed;
    case Candidate::Kind::mapped:
      return Origin::mapped;
    case Candidate::Kind::seen:
      break;
  }
  return Origin::seen;
}

std::string text_of(const Way& way) {
  if (way.direct()) return to_string(way.to);
  return *way.relay == kServerRelay ? "the server's relay" : "the relay of member " + std::to_string(way.relay->value);
}

std::string text_of(Duration round_trip) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(round_trip).count();
  return std::to_string(us / 1000) + "." + std::to_string(us / 100 % 10) + " ms";
}

// For both find(): what is found is as const as `known`.
auto* find_in(auto& known, const Way& way) {
  const auto it = std::ranges::find_if(known, [&](const auto& k) { return k.way == way; });
  return it == known.end() ? nullptr : &*it;
}

}  // namespace

PathFinder::Known* PathFinder::find(const Way& way) {
  return find_in(known_, way);
}

const PathFinder::Known* PathFinder::find(const Way& way) const {
  return find_in(known_, way);
}

PathFinder::Known* PathFinder::add(const Way& way, Origin origin, int rank, bool announced) {
  if (Known* known = find(way)) {
    if (rank < known->rank || (announced && !known->announced)) {
      known->rank = rank;
      known->origin = origin;
    }
    known->announced |= announced;
    return known;
  }
  if (known_.size() >= kMaxWays) {
    // Replace a way that was not announced and has never answered.
    const auto victim = std::ranges::find_if(
        known_, [&](const Known& k) { return !k.announced && !k.alive && k.way.direct() && k.way != path_; });
    if (victim == known_.end()) return nullptr;
    known_.erase(victim);
  }
  Known& known = known_.emplace_back();
  known.way = way;
  known.origin = origin;
  known.rank = rank;
  known.announced = announced;
  return &known;
}

void PathFinder::set_candidates(const std::vector<Candidate>& candidates, const std::vector<IpAddress>& own,
                                Instant now, bool probe, std::uint16_t socket) {
  std::vector<Way> before;
  for (Known& k : known_) {
    if (!k.announced || !k.way.direct()) continue;
    before.push_back(k.way);
    k.announced = false;
  }
  // Ways no longer announced are removed, except those that answer: they are given up when they stop.
  const auto stays = [&](const Known& k) {
    const auto same = [&](const Candidate& c) { return c.endpoint == k.way.to; };
    const bool ours = k.way.socket == 0 || k.way.socket == socket;
    return k.alive || k.way == path_ || (ours && std::ranges::any_of(candidates, same));
  };
  std::erase_if(known_, [&](const Known& k) { return std::ranges::count(before, k.way) > 0 && !stays(k); });
  for (const Candidate& c : candidates) {
    const int rank = rank_of(c, own);
    add(Way::straight(c.endpoint), origin_of(c.kind), rank, true);
    if (socket != 0 && rank >= kPublicRank) add(Way::straight(c.endpoint, socket), origin_of(c.kind), rank, true);
  }
  if (probe) begin(now);
}

void PathFinder::set_relays(const std::vector<MemberId>& relays, Instant now) {
  const auto listed = [&](const Known& k) { return k.way.direct() || std::ranges::count(relays, *k.way.relay) > 0; };
  const bool lost = path_ && !path_->direct() && !listed(*find(*path_));
  std::erase_if(known_, [&](const Known& k) { return !listed(k); });
  for (const MemberId relay : relays) {
    add(Way::through(relay), Origin::relay, kRelayRank + (relay == kServerRelay ? 0 : 1), true);
  }
  if (lost) path_.reset();
  choose(now);
}

void PathFinder::begin(Instant now) {
  round_ = 0;
  round_began_ = now;
  next_round_ = now;
  const bool answered = std::ranges::any_of(
      known_, [&](const Known& k) { return k.way.direct() && k.pongs > 0 && k.answered_at > search_began_; });
  if (search_began_ == kNever || answered) search_began_ = now;
}

void PathFinder::heard_from(const Way& way, Instant now) {
  Known* known = add(way, Origin::heard, kHeardRank, false);
  if (known == nullptr) return;
  known->heard_at = now;
  if (known->heard++ == 0 && way.direct()) note("heard the peer from " + text_of(way), now);
  if (way == path_ || !way.direct()) return;
  // Both ends may prefer different ways for long: do not probe an answering one with every datagram.
  const bool answers = known->alive && now - known->answered_at < kChallengeAgain;
  if (!answers && now - known->pinged_at > kPingAgain) {
    due_.push_back(ping(*known, now));
    next_round_ = std::min(next_round_, now);
  }
  // The peer sends by another way than we do. If ours no longer answers, its mapping in a NAT has changed.
  const bool decided = challenger_ == way && now - challenge_began_ < kChallengeAgain;
  if (!direct() || decided || challenge_ends_ != kNever) return;
  Known* mine = find(*path_);
  challenger_ = way;
  challenge_began_ = now;
  challenge_ends_ = now + std::max(kChallenge, 3 * mine->quality.round_trip().value_or(Duration::zero()));
  due_.push_back(ping(*mine, now));
}

void PathFinder::proved(Known& known, std::optional<Duration> round_trip, Instant now) {
  if (!known.alive) {
    note(text_of(known.way) + " answers" + (round_trip ? " in " + text_of(*round_trip) : ""), now);
  }
  known.alive = true;
  known.refuted = false;
  known.answered_at = now;
  if (known.way.direct()) died_by_.reset();
  if (known.way == path_) {
    unanswered_ = 0;
    doubted_ = false;
  }
}

bool PathFinder::adopt(const Way& way, std::optional<Duration> round_trip, Instant now) {
  Known* known = add(way, Origin::heard, kHeardRank, false);
  if (known == nullptr) return false;
  if (round_trip) known->quality.on_round_trip(*round_trip);
  proved(*known, round_trip, now);
  return choose(now);
}

void PathFinder::on_counts(const Way& way, std::uint64_t sent, std::int64_t lost, Instant now) {
  Known* known = find(way);
  if (known == nullptr) return;
  known->quality.on_counts(sent, lost, now);
  choose(now);
}

bool PathFinder::on_pong(const Way& from, std::uint64_t id, Instant now) {
  Known* known = find(from);
  // An answer from another endpoint than the one asked proves nothing about either.
  if (known == nullptr) return false;
  const auto round_trip = known->quality.on_pong(id, now);
  if (!round_trip) return false;
  ++known->pongs;
  proved(*known, round_trip, now);
  // The same NAT with another port: it made a new mapping, and the old one is gone.
  if (challenger_ == from && challenge_ends_ != kNever && direct() && path_->to.ip == from.to.ip) {
    challenge_ends_ = kNever;
    lose(*find(*path_), now);
    return use(*find(from), "the peer's NAT has made a new mapping", now);
  }
  return choose(now);
}

bool PathFinder::usable(const Known& known) const {
  return known.alive || (known.way.relay == kServerRelay && !known.refuted);
}

bool PathFinder::better(const Known& a, const Known& b) {
  if (a.quality.lossy() || b.quality.lossy()) return a.quality.cost() * kGain < b.quality.cost();
  const bool ranked = a.rank < b.rank;
  const auto& mine = a.quality.round_trip();
  const auto& other = b.quality.round_trip();
  if (!mine || !other) return ranked;
  const Duration shorter = std::min(*mine, *other);
  const bool mixed = a.way.direct() != b.way.direct();
  const Duration margin = mixed ? std::max(kRelayMargin, shorter) : std::max(kMargin, shorter / 4);
  if (*mine + margin < *other) return true;
  if (*other + margin < *mine) return false;
  return ranked;
}

// Moves to a better way, or to any when the one in use has stopped answering. True when the path changed.
bool PathFinder::choose(Instant now) {
  Known* mine = path_ ? find(*path_) : nullptr;
  if (mine != nullptr && !usable(*mine)) mine = nullptr;
  const auto may_replace = [&](const Known& k) {
    return mine == nullptr || (now >= k.rest_until && (!mine->alive || now - k.answered_at < kRecent));
  };
  // The server's relay is trusted before it has answered, but not beside what has.
  const auto ahead = [](const Known& k, const Known& than) {
    return k.alive == than.alive ? better(k, than) : k.alive;
  };
  const Known* best = mine;
  for (const Known& k : known_) {
    if (usable(k) && may_replace(k) && (best == nullptr || ahead(k, *best))) best = &k;
  }
  // The server's relay is the fallback when nothing is known to work.
  if (best == nullptr) best = find(Way::through(kServerRelay));
  if (best == nullptr || best->way == path_) return false;
  std::string why;
  if (mine != nullptr && mine->alive && best->rank > mine->rank) {
    const bool again = mine->rest > Duration::zero() && now - mine->left_at < kRestMemory;
    mine->rest = again ? std::min(kMaxRest, 2 * mine->rest) : kRest;
    mine->left_at = now;
    mine->rest_until = now + mine->rest;
    why = mine->quality.lossy()
              ? "the previous one loses " + std::to_string(std::lround(mine->quality.loss() * 100)) + " %"
              : "it is much faster";
  }
  return use(*best, why, now);
}

bool PathFinder::use(const Known& known, const std::string& why, Instant now) {
  unanswered_ = 0;
  doubted_ = false;
  if (path_ == known.way) return false;
  path_ = known.way;
  ++uses_;
  challenge_ends_ = kNever;
  note("the path is now " + text_of(known.way) + (why.empty() ? "" : ": " + why), now);
  return true;
}

void PathFinder::lose(Known& known, Instant now) {
  known.alive = false;
  known.refuted = true;
  known.quality.cancel();
  // A way that is lost again and again is no better for answering in between.
  if (known.left_at != Instant{} && now - known.left_at < 4 * kRest) {
    known.rest = std::min(kMaxRest, std::max(kRest, 2 * known.rest));
    known.rest_until = now + known.rest;
  }
  known.left_at = now;
  if (known.way.direct()) died_by_ = known.way.socket;
  note(text_of(known.way) + " does not answer any more", now);
}

bool PathFinder::watch(Instant last_sent, Instant last_received, Instant now) {
  if (!path_) return false;
  if (last_received != heard_until_) {
    stream_ = last_received - heard_until_ < kSilence ? stream_ + 1 : 1;
    heard_until_ = last_received;
  }
  // A node that only answers expects nothing when the path dies: the end of a stream is reason enough to ask.
  const bool owed = last_sent > last_received || stream_ >= kStream;
  // What arrives by the path says nothing about our own datagrams once the peer has left it: only an answer does.
  if (!doubted_ && (!owed || now - last_received < kSilence)) {
    unanswered_ = 0;
    return false;
  }
  // The last one may take its whole round trip.
  const Duration last = std::max(kPingAgain, round_trip().value_or(kUnmeasured) * 5 / 4);
  const Duration pause = unanswered_ < kLostPings ? kPingAgain : last;
  if (unanswered_ > 0 && now - asked_at_ < pause) return false;
  if (unanswered_ < kLostPings) {
    ask(now);
    ++unanswered_;
    asked_at_ = now;
    return false;
  }
  lose(*find(*path_), now);
  // A way without a recent answer is as likely lost; with a relay at hand that is found out first.
  for (Known& k : known_) {
    if (k.alive && k.way.direct() && now - k.answered_at > kFresh) k.alive = false;
  }
  unanswered_ = 0;
  doubted_ = false;
  const bool changed = choose(now);
  // A peer that is gone answers on no way: do not search for it again and again.
  if (changed || round_began_ == kNever || now - round_began_ >= kProbeRounds.back()) begin(now);
  return changed;
}

void PathFinder::ask(Instant now) {
  if (!path_) return;
  due_.push_back(ping(*find(*path_), now));
  next_round_ = std::min(next_round_, now);
}

void PathFinder::doubt(Instant now) {
  if (!path_ || doubted_ || now - find(*path_)->answered_at <= kPingAgain) return;
  for (int i = 0; i < 2; ++i) ask(now);  // one of them may be lost
  unanswered_ = kLostPings;
  doubted_ = true;
  asked_at_ = now;
}

void PathFinder::moved(Instant now) {
  for (Known& k : known_) {
    if (k.way.direct()) k.alive = false;
    k.quality.forget();
    k.refuted = false;
    k.rest_until = {};
    k.rest = {};
  }
  std::erase_if(known_, [&](const Known& k) { return !k.announced && k.way != path_; });
  died_by_.reset();
  unanswered_ = 0;
  doubted_ = false;
  challenge_ends_ = kNever;
  challenger_.reset();
  search_began_ = kNever;
  begin(now);
  choose(now);
}

void PathFinder::reset(Instant now) {
  std::erase_if(known_, [](const Known& k) { return !k.announced; });
  for (Known& k : known_) {
    k.quality.forget();
    k.alive = k.refuted = false;
    k.rest_until = {};
  }
  path_.reset();
  died_by_.reset();
  due_.clear();
  next_round_ = challenge_ends_ = round_began_ = search_began_ = kNever;
  round_ = 0;
  challenger_.reset();
  unanswered_ = 0;
  doubted_ = false;
  choose(now);
}

bool PathFinder::needs_socket(std::uint16_t socket, Instant now) const {
  return std::ranges::any_of(known_, [&](const Known& k) {
    if (!k.way.direct() || k.way.socket != socket) return false;
    return k.way == path_ || now - std::max(k.heard_at, k.answered_at) < kSocketRest;
  });
}

void PathFinder::forget_socket(std::uint16_t socket) {
  std::erase_if(known_, [&](const Known& k) { return k.way.direct() && k.way.socket == socket; });
}

Ping PathFinder::ping(Known& known, Instant now) {
  const std::uint64_t id = rng_->u64() | 1;
  known.quality.on_ping(id, usable(known), now);
  known.pinged_at = now;
  ++known.pings;
  return {known.way, id};
}

std::vector<Ping> PathFinder::take_due(Instant now, bool traffic_flows, Instant last_used) {
  if (now >= challenge_ends_) {
    challenge_ends_ = kNever;
    Known* mine = path_ ? find(*path_) : nullptr;
    const Known* other = challenger_ ? find(*challenger_) : nullptr;
    if (mine != nullptr && mine->answered_at < challenge_began_ && other != nullptr && other->alive) {
      lose(*mine, now);
      use(*other, "the peer has moved there", now);
    }
  }
  std::vector<Ping> out = std::move(due_);
  due_.clear();
  for (Known& k : known_) k.quality.expire(now);
  if (now >= next_round_) probe_round(out, now, traffic_flows);
  if (traffic_flows && now - last_used < kSampleOther) sample(out, last_used, now);
  return out;
}

void PathFinder::probe_round(std::vector<Ping>& out, Instant now, bool traffic_flows) {
  const bool slow = round_ >= kProbeRounds.size();
  const bool round_due = slow ? traffic_flows : now >= round_began_ + kProbeRounds[round_];
  if (round_due) {
    if (round_ == 0 && now - noted_search_at_ > kProbeRounds[4]) {
      note("probing " + std::to_string(known_.size()) + (known_.size() == 1 ? " way" : " ways"), now);
      noted_search_at_ = now;
    }
    const Known* mine = path_ ? find(*path_) : nullptr;
    for (Known& k : known_) {
      // The first round and the slow ones compare everything; those between look for what is better.
      const bool wanted = !k.alive && (mine == nullptr || !mine->alive || k.rank < mine->rank);
      if (round_ == 0 || slow || wanted) out.push_back(ping(k, now));
    }
    ++round_;
  }
  if (round_ < kProbeRounds.size()) {
    next_round_ = round_began_ + kProbeRounds[round_];
  } else {
    // Traffic that starts later calls begin() again.
    next_round_ = traffic_flows ? now + kProbeSlow : kNever;
  }
}

void PathFinder::sample(std::vector<Ping>& out, Instant last_used, Instant now) {
  Known* mine = path_ ? find(*path_) : nullptr;
  if (mine == nullptr) return;
  const bool trial = mine->quality.lossy();
  const auto pause_of = [&](const Known& k) -> Duration {
    if (&k == mine) {
      // A due answer that has not arrived is requested again: it may be lost.
      const Duration due = 2 * k.quality.round_trip().value_or(kUnmeasured);
      return k.answered_at < k.pinged_at ? std::clamp(due, kSampleResting, kSampleInUse) : kSampleInUse;
    }
    if (trial && k.quality.seen() < kTrialSeen) return kSampleTrial;
    if (trial || k.quality.lossy()) return kSampleResting;
    return kSampleOther;
  };
  const auto take = [&](Known* k) {
    if (k == nullptr || now - k->pinged_at < pause_of(*k)) return;
    for (int i = 0; i < (trial && k != mine ? 2 : 1); ++i) out.push_back(ping(*k, now));
  };
  const auto best_of = [&](bool direct) {
    Known* best = nullptr;
    for (Known& k : known_) {
      if (&k == mine || !usable(k) || k.way.direct() != direct) continue;
      if (best == nullptr || better(k, *best)) best = &k;
    }
    return best;
  };
  const bool says_enough = !trial && mine->answered_at >= mine->pinged_at && mine->pinged_at > last_used;
  if (!says_enough) take(mine);
  take(best_of(true));
  take(best_of(false));
}

bool PathFinder::flow_died(std::uint16_t socket) const {
  return died_by_ == socket && path_ && !path_->direct() && find(*path_)->alive;
}

bool PathFinder::direct_answers() const {
  return std::ranges::any_of(known_, [](const Known& k) { return k.way.direct() && k.alive; });
}

std::vector<Endpoint> PathFinder::answering() const {
  std::vector<Endpoint> out;
  for (const Known& k : known_) {
    if (k.alive && k.way.direct()) out.push_back(k.way.to);
  }
  return out;
}

std::optional<Endpoint> PathFinder::heard_at() const {
  const Known* last = nullptr;
  for (const Known& k : known_) {
    const bool outside = k.way.direct() && k.way.to.ip.is_v4() && !is_private(k.way.to.ip);
    if (outside && k.heard > 0 && (last == nullptr || k.heard_at > last->heard_at)) last = &k;
  }
  return last == nullptr ? std::nullopt : std::optional<Endpoint>(last->way.to);
}

bool PathFinder::on_lan() const {
  if (!direct()) return false;
  return find(*path_)->rank < kPublicRank;
}

std::optional<Duration> PathFinder::round_trip() const {
  if (!path_) return std::nullopt;
  return find(*path_)->quality.round_trip();
}

std::optional<Duration> PathFinder::searching_for(Instant now) const {
  if (round_began_ == kNever || direct_answers()) return std::nullopt;
  return now - round_began_;
}

std::optional<Duration> PathFinder::in_vain_for(Instant now) const {
  if (!searching_for(now)) return std::nullopt;
  return now - search_began_;
}

}  // namespace eps::mesh
