#include "mesh/path_finder.h"

#include <algorithm>

namespace eps::mesh {
namespace {

using Origin = WayStatus::Origin;

constexpr int kLanRank = 0;     // and 1 for IPv4
constexpr int kPublicRank = 2;  // and 3 for IPv4
constexpr int kHeardRank = 10;
constexpr int kRelayRank = 20;  // the server's, 21 of a member

// How old a way's last answer may be for falling back on it without asking.
constexpr Duration kFresh = std::chrono::seconds(1);
constexpr Duration kSocketRest = std::chrono::seconds(30);  // longer than a keepalive's pause
// A round trip that was not measured yet, where one has to be waited for.
constexpr Duration kUnmeasured = std::chrono::milliseconds(600);

bool is_private(const IpAddress& ip) {
  if (!ip.is_v4()) return (ip.bytes[0] & std::byte{0xfe}) == std::byte{0xfc} || ip.is_link_local();
  constexpr std::array<Ip4Network, 3> kPrivate = {
      {{{0x0a000000}, 8}, {{0xac100000}, 12}, {{0xc0a80000}, 16}}};  // RFC 1918
  return std::ranges::any_of(kPrivate, [&](const Ip4Network& n) { return n.contains(ip.v4()); });
}

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
    // What nobody announced and never answered gives way.
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
                                Instant now, bool probe) {
  std::vector<Way> before;
  for (Known& k : known_) {
    if (!k.announced || !k.way.direct()) continue;
    before.push_back(k.way);
    k.announced = false;
  }
  // What is no longer announced goes, except what answers: it is given up when it stops to.
  const auto stays = [&](const Known& k) {
    const auto same = [&](const Candidate& c) { return Way::straight(c.endpoint) == k.way; };
    return k.alive || k.way == path_ || std::ranges::any_of(candidates, same);
  };
  std::erase_if(known_, [&](const Known& k) { return std::ranges::count(before, k.way) > 0 && !stays(k); });
  for (const Candidate& c : candidates) {
    add(Way::straight(c.endpoint), origin_of(c.kind), rank_of(c, own), true);
  }
  if (probe) begin(now);
}

bool PathFinder::set_relays(const std::vector<MemberId>& relays, Instant now) {
  const auto listed = [&](const Known& k) { return k.way.direct() || std::ranges::count(relays, *k.way.relay) > 0; };
  const bool lost = path_ && !path_->direct() && !listed(*find(*path_));
  std::erase_if(known_, [&](const Known& k) { return !listed(k); });
  for (const MemberId relay : relays) {
    add(Way::through(relay), Origin::relay, kRelayRank + (relay == kServerRelay ? 0 : 1), true);
  }
  if (lost) path_.reset();
  return choose(now) || lost;
}

void PathFinder::begin(Instant now) {
  round_ = 0;
  round_began_ = now;
  next_round_ = now;
}

void PathFinder::heard_from(const Way& way, Instant now) {
  Known* known = add(way, Origin::heard, kHeardRank, false);
  if (known == nullptr) return;
  known->heard_at = now;
  if (known->heard++ == 0 && way.direct()) note("heard the peer from " + text_of(way), now);
  if (way == path_ || !way.direct()) return;
  // Both ends may prefer different ways for long: one that answers is not asked with every datagram.
  const bool answers = known->alive && now - known->answered_at < kChallengeAgain;
  if (!answers && now - known->pinged_at > kPingAgain) {
    due_.push_back(ping(*known, now));
    next_round_ = std::min(next_round_, now);
  }
  // The peer sends by another way than we do. If ours does not answer any more, its mapping in a NAT has changed.
  const bool decided = challenger_ == way && now - challenge_began_ < kChallengeAgain;
  if (!direct() || decided || challenge_ends_ != kNever) return;
  Known* mine = find(*path_);
  challenger_ = way;
  challenge_began_ = now;
  challenge_ends_ = now + std::max(kChallenge, 3 * mine->round_trip.value_or(Duration::zero()));
  due_.push_back(ping(*mine, now));
}

void PathFinder::proved(Known& known, std::optional<Duration> round_trip, Instant now) {
  if (!known.alive) {
    note(text_of(known.way) + " answers" + (round_trip ? " in " + text_of(*round_trip) : ""), now);
  }
  known.alive = true;
  known.answered_at = now;
  if (round_trip) known.round_trip = known.round_trip ? (*known.round_trip * 3 + *round_trip) / 4 : *round_trip;
  if (known.way == path_) {
    unanswered_ = 0;
    doubted_ = false;
  }
}

bool PathFinder::adopt(const Way& way, std::optional<Duration> round_trip, Instant now) {
  Known* known = add(way, Origin::heard, kHeardRank, false);
  if (known == nullptr) return false;
  proved(*known, round_trip, now);
  return choose(now);
}

bool PathFinder::on_pong(const Way& from, std::uint64_t id, Instant now) {
  Known* known = find(from);
  // An answer from another endpoint than the one asked proves nothing about either.
  if (known == nullptr || id == 0) return false;
  const auto asked = std::ranges::find(known->asked, id, &Known::Asked::id);
  if (asked == known->asked.end()) return false;
  const Duration round_trip = now - asked->at;
  *asked = {};
  ++known->pongs;
  proved(*known, round_trip, now);
  // The same NAT with another port: its mapping was made anew, the old one is gone.
  if (challenger_ == from && challenge_ends_ != kNever && direct() && path_->to.ip == from.to.ip) {
    challenge_ends_ = kNever;
    lose(*find(*path_), now);
    return use(*find(from), "the peer's NAT has mapped it anew", now);
  }
  return choose(now);
}

bool PathFinder::usable(const Known& known) const {
  return known.alive || (!known.way.direct() && *known.way.relay == kServerRelay);
}

bool PathFinder::better(const Known& a, const Known& b) {
  const bool ranked = a.rank < b.rank;
  if (!a.round_trip || !b.round_trip) return ranked;
  const Duration shorter = std::min(*a.round_trip, *b.round_trip);
  const bool mixed = a.way.direct() != b.way.direct();
  const Duration margin = mixed ? std::max(kRelayMargin, shorter) : std::max(kMargin, shorter / 4);
  if (*a.round_trip + margin < *b.round_trip) return true;
  if (*b.round_trip + margin < *a.round_trip) return false;
  return ranked;
}

// Moves to a better way, or to any when the one in use has stopped answering. True when the path changed.
bool PathFinder::choose(Instant now) {
  const Known* best = path_ ? find(*path_) : nullptr;
  if (best != nullptr && !usable(*best)) best = nullptr;
  for (const Known& k : known_) {
    if (usable(k) && (best == nullptr || better(k, *best))) best = &k;
  }
  if (best == nullptr || best->way == path_) return false;
  return use(*best, "", now);
}

bool PathFinder::use(const Known& known, const std::string& why, Instant now) {
  unanswered_ = 0;
  doubted_ = false;
  if (path_ == known.way) return false;
  path_ = known.way;
  challenge_ends_ = kNever;
  note("the path is now " + text_of(known.way) + (why.empty() ? "" : ": " + why), now);
  return true;
}

void PathFinder::lose(Known& known, Instant now) {
  known.alive = false;
  note(text_of(known.way) + " does not answer any more", now);
}

bool PathFinder::watch(Instant last_sent, Instant last_received, Instant now) {
  // The server's relay is what is left: the caller shakes hands anew when nothing comes by it.
  if (!path_ || path_->relay == kServerRelay) return false;
  // What comes by the path says nothing of our own datagrams once the peer has left it: only an answer does.
  if (!doubted_ && (last_received >= last_sent || now - last_received < kSilence)) {
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
  // What has not answered lately is as likely lost; with a relay at hand that is found out first.
  for (Known& k : known_) {
    if (k.alive && k.way.direct() && now - k.answered_at > kFresh) k.alive = false;
  }
  unanswered_ = 0;
  doubted_ = false;
  begin(now);
  return choose(now);
}

void PathFinder::ask(Instant now) {
  if (!path_) return;
  due_.push_back(ping(*find(*path_), now));
  next_round_ = std::min(next_round_, now);
}

void PathFinder::doubt(Instant now) {
  if (!direct() || in_doubt() || now - find(*path_)->answered_at < kFresh) return;
  for (int i = 0; i < 2; ++i) ask(now);  // one of them may be lost
  unanswered_ = kLostPings;
  doubted_ = true;
  asked_at_ = now;
}

bool PathFinder::moved(Instant now) {
  for (Known& k : known_) {
    if (k.way.direct()) k.alive = false;
  }
  std::erase_if(known_, [&](const Known& k) { return !k.announced && k.way != path_; });
  unanswered_ = 0;
  doubted_ = false;
  challenge_ends_ = kNever;
  challenger_.reset();
  begin(now);
  return choose(now);
}

bool PathFinder::reset(Instant now) {
  const bool changed = path_.has_value();
  std::erase_if(known_, [](const Known& k) { return !k.announced; });
  for (Known& k : known_) {
    k.asked = {};
    k.alive = false;
  }
  path_.reset();
  due_.clear();
  next_round_ = challenge_ends_ = round_began_ = kNever;
  round_ = 0;
  challenger_.reset();
  unanswered_ = 0;
  doubted_ = false;
  choose(now);
  return changed;
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
  known.asked[known.next_asked++ % known.asked.size()] = {id, now};
  known.pinged_at = now;
  ++known.pings;
  return {known.way, id};
}

std::vector<Ping> PathFinder::take_due(Instant now, bool traffic_flows) {
  if (now >= challenge_ends_) {
    challenge_ends_ = kNever;
    Known* mine = path_ ? find(*path_) : nullptr;
    const Known* other = challenger_ ? find(*challenger_) : nullptr;
    if (mine != nullptr && mine->answered_at < challenge_began_ && other != nullptr && other->alive) {
      lose(*mine, now);
      changed_ |= use(*other, "the peer has moved there", now);
    }
  }
  std::vector<Ping> out = std::move(due_);
  due_.clear();
  if (now < next_round_) return out;
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
  return out;
}

bool PathFinder::on_lan() const {
  if (!direct()) return false;
  return find(*path_)->rank < kPublicRank;
}

std::optional<Duration> PathFinder::round_trip() const {
  if (!path_) return std::nullopt;
  return find(*path_)->round_trip;
}

std::optional<Duration> PathFinder::searching_for(Instant now) const {
  if (round_began_ == kNever || (direct() && find(*path_)->alive)) return std::nullopt;
  return now - round_began_;
}

}  // namespace eps::mesh
