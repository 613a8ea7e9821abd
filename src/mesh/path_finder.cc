#include "mesh/path_finder.h"

#include <algorithm>

namespace eps::mesh {
namespace {

// LAN before public, IPv6 before IPv4 among the public ones; an endpoint that only a datagram told us of comes last.
constexpr int kHeardRank = 10;

}  // namespace

int PathFinder::rank_of(const Candidate& candidate) {
  const int v4 = candidate.endpoint.ip.is_v4() ? 1 : 0;
  return candidate.kind == Candidate::Kind::local ? v4 : kPublicRank + v4;
}

PathFinder::Probe* PathFinder::find(const Endpoint& endpoint) {
  const auto it = std::find_if(probes_.begin(), probes_.end(), [&](const Probe& p) { return p.endpoint == endpoint; });
  return it == probes_.end() ? nullptr : &*it;
}

PathFinder::Probe* PathFinder::add(const Endpoint& endpoint, int rank, bool announced) {
  if (Probe* known = find(endpoint)) {
    known->rank = std::min(known->rank, rank);
    known->announced |= announced;
    return known;
  }
  if (probes_.size() >= kMaxProbedEndpoints) return nullptr;
  probes_.push_back({.endpoint = endpoint, .rank = rank, .announced = announced, .id = 0, .sent_at = {}});
  return &probes_.back();
}

void PathFinder::set_candidates(const std::vector<Candidate>& candidates, Instant now, bool probe) {
  // What is no longer announced goes, except the endpoint in use: watch() gives that one up if it is dead.
  std::erase_if(probes_, [&](const Probe& p) { return p.announced && p.endpoint != direct_; });
  for (Probe& p : probes_) p.announced = false;
  for (const Candidate& c : candidates) add(c.endpoint, rank_of(c), true);
  if (probe) begin(now);
}

void PathFinder::begin(Instant now) {
  round_ = 0;
  round_began_ = now;
  next_round_ = now;
}

void PathFinder::heard_from(const Endpoint& endpoint, Instant now) {
  if (endpoint == direct_) return;
  Probe* probe = add(endpoint, kHeardRank, false);
  if (probe != nullptr && (probe->id == 0 || now - probe->sent_at > kPingAgain)) {
    due_.push_back(ping(*probe, now));
    next_round_ = std::min(next_round_, now);
  }
}

bool PathFinder::use(const Probe& probe) {
  unanswered_ = 0;
  const bool changed = direct_ != probe.endpoint;
  direct_ = probe.endpoint;
  direct_rank_ = probe.rank;
  return changed;
}

bool PathFinder::adopt(const Endpoint& endpoint, Instant) {
  const Probe* probe = add(endpoint, kHeardRank, false);
  if (probe == nullptr || (direct_ && direct_ != endpoint && direct_rank_ <= probe->rank)) return false;
  return use(*probe);
}

bool PathFinder::on_pong(const Endpoint& from, std::uint64_t id, Instant now) {
  Probe* probe = find(from);
  // An answer from another endpoint than the one asked proves nothing about either.
  if (probe == nullptr || probe->id == 0 || probe->id != id) return false;
  probe->id = 0;
  const bool in_use = direct_ == from;
  if (in_use || !direct_ || probe->rank < direct_rank_) {
    round_trip_ = now - probe->sent_at;
    return use(*probe);
  }
  return false;
}

bool PathFinder::watch(Instant last_sent, Instant last_received, Instant now) {
  if (!direct_) return false;
  if (last_received >= last_sent || now - last_received < kSilence) {
    unanswered_ = 0;
    return false;
  }
  if (unanswered_ > 0 && now - asked_at_ < kPingAgain) return false;
  if (unanswered_ >= kLostPings) {
    std::erase_if(probes_, [&](const Probe& p) { return p.endpoint == direct_ && !p.announced; });
    direct_.reset();
    round_trip_.reset();
    unanswered_ = 0;
    begin(now);
    return true;
  }
  if (Probe* probe = find(*direct_)) {
    due_.push_back(ping(*probe, now));
    next_round_ = std::min(next_round_, now);
  }
  ++unanswered_;
  asked_at_ = now;
  return false;
}

void PathFinder::doubt(Instant now) {
  if (!direct_ || in_doubt()) return;
  if (Probe* probe = find(*direct_)) {
    due_.push_back(ping(*probe, now));
    next_round_ = std::min(next_round_, now);
  }
  unanswered_ = kLostPings;
  asked_at_ = now;
}

bool PathFinder::reset() {
  const bool changed = direct_.has_value();
  std::erase_if(probes_, [](const Probe& p) { return !p.announced; });
  for (Probe& p : probes_) p.id = 0;
  direct_.reset();
  round_trip_.reset();
  due_.clear();
  next_round_ = kNever;
  unanswered_ = 0;
  return changed;
}

Ping PathFinder::ping(Probe& probe, Instant now) {
  probe.id = rng_->u64() | 1;
  probe.sent_at = now;
  return {probe.endpoint, probe.id};
}

std::vector<Ping> PathFinder::take_due(Instant now, bool traffic_flows) {
  std::vector<Ping> out = std::move(due_);
  due_.clear();
  if (now < next_round_) return out;
  const bool round_due = round_ < kProbeRounds.size() ? now >= round_began_ + kProbeRounds[round_] : traffic_flows;
  if (round_due) {
    for (Probe& p : probes_) {
      if (direct_ && (p.endpoint == direct_ || p.rank >= direct_rank_)) continue;
      out.push_back(ping(p, now));
    }
    ++round_;
  }
  if (round_ < kProbeRounds.size()) {
    next_round_ = round_began_ + kProbeRounds[round_];
  } else {
    // Slow rounds go on only for a relayed path with traffic; traffic that starts later calls begin() again.
    next_round_ = !direct_ && traffic_flows ? now + kProbeSlow : kNever;
  }
  return out;
}

}  // namespace eps::mesh
