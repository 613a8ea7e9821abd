// SPDX-License-Identifier: MIT
#include "node/paths.h"

#include <algorithm>
#include <string>

#include "l2/parse.h"
#include "node/peer.h"

namespace eps::node {
namespace {

// For a path whose size is not known yet.
constexpr std::size_t kUsualMtu = 1500;

// The pause between bursts of large traffic.
constexpr Duration kLargeFlows = std::chrono::seconds(1);

std::size_t headers_to(const Endpoint& to) {
  return to.ip.is_v4() ? mesh::kIpUdp4 : mesh::kIpUdp6;
}

}  // namespace

// --- where the peer is ---------------------------------------------------------------------------------------------

std::vector<Candidate> Paths::usable(const Peer& peer) const {
  return here_.usable(peer.member, peer.paths.told_, relays_.server());
}

std::optional<Endpoint> Paths::seen_endpoint_of(const Peer& peer) const {
  for (const Candidate& c : usable(peer)) {
    if (c.kind != Candidate::Kind::observed || !c.endpoint.ip.is_v4()) continue;
    if (std::ranges::find(peer.member.candidates, c) != peer.member.candidates.end()) return c.endpoint;
  }
  return peer.path.heard_at();
}

void Paths::refresh(Peer& peer, bool probe, Instant now) const {
  peer.path.set_candidates(usable(peer), here_.addresses(), now, probe, relays_.socket());
}

void Paths::on_listed(Peer& peer, Instant now) const {
  peer.paths.told_.clear();
  refresh(peer, peer.sessions.current() != nullptr, now);
}

void Paths::learn(Peer& peer, const std::vector<Candidate>& candidates, bool probe, Instant now) {
  if (candidates.empty() || peer.paths.told_ == candidates) return;
  peer.paths.told_ = candidates;
  refresh(peer, probe, now);
}

// --- pings ---------------------------------------------------------------------------------------------------------

void Paths::on_session(Peer& peer) {
  peer.paths.elsewhere_ = 0;
  peer.paths.sizes_asked_.clear();
}

void Paths::on_sent(Peer& peer, const Way& way) {
  if (way != peer.path.path()) ++peer.paths.elsewhere_;
}

// Identifies the path in use among all that were in use. REQUIRES: a session
std::uint64_t Paths::tally_key(const Peer& peer) {
  return peer.sessions.current()->local_index() | std::uint64_t{peer.path.uses()} << 32;
}

mesh::PingMessage Paths::ping(Peer& peer, const mesh::Ping& ping, Instant now) {
  const session::Session& session = *peer.sessions.current();
  const bool counted = session.has(Feature::path_counts) && ping.way == peer.path.path();
  if (counted) {
    peer.paths.tally_.on_ping(ping.id, tally_key(peer),
                              {session.sealed_count() - peer.paths.elsewhere_, dropped_here()}, now);
  }
  return {ping.id, counted};
}

mesh::PongMessage Paths::pong(const mesh::PingMessage& ping, const Arrival& arrival, std::uint32_t arrived) const {
  mesh::PongMessage pong{ping.id, arrival.relayed() ? Endpoint{} : arrival.from};
  if (ping.counted) pong.counts = {arrived, static_cast<std::uint32_t>(dropped_here())};
  return pong;
}

void Paths::on_counts(Peer& peer, const mesh::PongMessage& pong, const Arrival& arrival, Instant now) {
  if (!pong.counts || peer.sessions.current() == nullptr) return;
  const auto result = peer.paths.tally_.on_pong(pong.id, {pong.counts->arrived, pong.counts->lost_here});
  // on_pong() recognises an answer by another path than the one asked. Losses of an earlier use of the same path say
  // nothing: after a sleep everything that waited leaves at once, and the last ping of that use overtakes
  // it.
  if (result && result->key == tally_key(peer) && arrival.way() == peer.path.path()) {
    peer.path.on_counts(arrival.way(), result->sent, result->lost, now);
  }
}

// Datagrams dropped here because this node, or its network device, was too slow.
std::uint64_t Paths::dropped_here() const {
  const auto of = [&](Drop drop) {
    return counters_.drops[static_cast<std::size_t>(drop)].load(std::memory_order_relaxed);
  };
  return of(Drop::congested) + of(Drop::overrun);
}

// --- calls ---------------------------------------------------------------------------------------------------------

mesh::CallMessage Paths::call_message(bool moved, bool guessing) const {
  return {moved, guessing, here_.nat().mapping, here_.own()};
}

std::vector<Paths::Outgoing> Paths::call(Peer& peer, bool moved, Instant now) {
  std::vector<Outgoing> out;
  if (!peer.sessions.current() || (!moved && now - peer.paths.called_at_ < kCallPause)) return out;
  peer.paths.called_at_ = now;
  const mesh::CallMessage message = call_message(moved, false);
  if (peer.path.path()) out.push_back({*peer.path.path(), message});
  if (!moved) return out;
  // Nobody knows at this moment which path still works.
  for (const WayStatus& w : peer.path.ways(now)) {
    const bool relay_or_was_direct = !w.way.direct() || w.pongs > 0;
    if (!w.in_use && relay_or_was_direct) out.push_back({w.way, message});
  }
  return out;
}

void Paths::end_call_pause(Peer& peer) {
  peer.paths.called_at_ = {};
}

Paths::Called Paths::on_call(Peer& peer, const mesh::CallMessage& call, const Arrival& arrival, Instant now) {
  Called out;
  out.other_nat = std::exchange(peer.paths.nat_, call.nat) != call.nat;
  const std::vector<Candidate> before = usable(peer);
  learn(peer, call.candidates, false, now);
  if (call.moved) {
    forget_sizes(peer);
    peer.path.moved(now);
    if (!arrival.relayed()) peer.path.heard_from(arrival.way(), now);
    return out;
  }
  const auto& path = peer.path.path();
  out.doubts = path && path->relay != kServerRelay;  // node::Bind looks after the server's
  if (out.doubts) peer.path.doubt(now);
  if (!peer.path.direct() && (usable(peer) != before || now - peer.paths.searched_at_ > kSearchPause)) {
    peer.paths.searched_at_ = now;
    peer.path.begin(now);
  }
  return out;
}

Paths::Verdict Paths::judge(Peer& peer, const mesh::CallMessage& call, const Arrival& arrival, Instant now) {
  Record& record = peer.paths;
  if (!record.waiting_call_ && record.calls_.take(now, kTakeCallPause, kTakeCallBurst)) return Verdict::now;
  record.waiting_call_.emplace(call, arrival);
  return record.excess_.add(now, std::chrono::minutes(1), kManyCalls) ? Verdict::tell : Verdict::waits;
}

std::optional<std::pair<mesh::CallMessage, Paths::Arrival>> Paths::take_waiting_call(Peer& peer, Instant now) {
  Record& record = peer.paths;
  if (!record.waiting_call_ || !record.calls_.take(now, kTakeCallPause, kTakeCallBurst)) return std::nullopt;
  return std::exchange(record.waiting_call_, std::nullopt);
}

Instant Paths::waiting_call_at(const Peer& peer) {
  return peer.paths.waiting_call_ ? peer.paths.calls_.ready_at(kTakeCallBurst) : kNever;
}

// --- third members -------------------------------------------------------------------------------------------------

bool Paths::may_answer(Peer& asker, Instant now) {
  if (now - asker.paths.asked_us_at_ < kAnswerPause) return false;
  asker.paths.asked_us_at_ = now;
  return true;
}

std::optional<Paths::Introductions> Paths::introduce(const Peer& asker, const std::vector<Candidate>& asker_at,
                                                     const Arrival& arrival, const Peer& sought) const {
  if (&sought == &asker || !sought.sessions.current() || !sought.path.direct()) return std::nullopt;
  const auto message = [](const Peer& about, std::optional<Endpoint> seen_at, std::vector<Candidate> candidates) {
    if (seen_at) candidates.insert(candidates.begin(), {Candidate::Kind::seen, *seen_at});
    if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
    return mesh::IntroduceMessage{about.member.id, std::move(candidates)};
  };
  const auto seen = arrival.relayed() ? std::nullopt : std::optional(arrival.from);
  return Introductions{message(asker, seen, asker_at), message(sought, sought.path.path()->to, usable(sought))};
}

bool Paths::may_introduce(Peer& by, Instant now) {
  return by.paths.introductions_.take(now, kTakeCallPause, kTakeCallBurst);
}

bool Paths::on_introduced(Peer& peer, const Peer& by, const std::vector<Candidate>& candidates, Instant now) {
  if (now - peer.paths.introduced_at_ < kIntroductionPause) return false;
  peer.paths.introduced_at_ = now;
  peer.path.note(by.member.name + " told us where it is", now);
  learn(peer, candidates, peer.sessions.current() != nullptr, now);
  return true;
}

// --- sizes ---------------------------------------------------------------------------------------------------------

bool Paths::sized(const Peer& peer) {
  return peer.sessions.current() && peer.sessions.current()->has(Feature::path_mtu);
}

void Paths::set_sizes(const Peer& peer, dataplane::Peer& route, std::size_t network_mtu) {
  if (!sized(peer) || !peer.path.path()) return;
  const mesh::PathMtu& mtu = peer.paths.mtu_;
  const Way& way = *peer.path.path();
  route.runs = mtu.path_mtu(way).value_or(kRunsFrom) >= kRunsFrom;
  if (!route.to.valid()) return;
  const std::size_t headers = headers_to(route.to);
  const std::size_t around = (route.relayed ? wire::kRelayHeaderSize : 0) + wire::kDataHeaderSize + wire::kTagSize;
  const std::size_t datagram = mtu.datagram(way, headers);
  route.max_plain = datagram - around;
  // What the peer's segments may have. A connection outlasts the search, and one who mostly receives never searches:
  // what was heard of the peer counts first. Before anything is known, an Ethernet is assumed, or the jumbo frames that
  // the network is meant for; segments that turn out too large are cut.
  if (peer.paths.heard_by_ == way) {
    route.promised_plain = peer.paths.heard_;
  } else if (mtu.settled(way)) {
    route.promised_plain = datagram - around;
  } else if (network_mtu <= kUsualMtu) {
    route.promised_plain = std::max(datagram, kUsualMtu - headers) - around;
  }
}

void Paths::on_size_ping(Peer& peer, const mesh::SizePingMessage& ping, const Arrival& arrival) {
  const std::size_t size = mesh::kSizePingSize + ping.padding;
  Record& record = peer.paths;
  if (record.heard_by_ != arrival.way()) record.heard_ = 0;
  record.heard_by_ = arrival.way();
  record.heard_ = std::max(record.heard_, size);
}

void Paths::forget_sizes(Peer& peer) {
  peer.paths.mtu_.moved();
  peer.paths.heard_by_.reset();
}

std::vector<Paths::Outgoing> Paths::size_pings(Peer& peer, const dataplane::Peer& route, std::size_t network_mtu,
                                               Instant now) {
  std::vector<Outgoing> out;
  const std::size_t envelope = route.relayed ? wire::kRelayHeaderSize : 0;
  const std::size_t largest_frame = l2::kEthernetSize + l2::kVlanTagSize + network_mtu;
  const std::size_t wanted =
      std::min(wire::kRelayHeaderSize + wire::kDataOverhead + largest_frame, ports::kMaxUdpPayload);
  mesh::PathMtu& mtu = peer.paths.mtu_;
  mtu.use(*peer.path.path(), headers_to(route.to), wanted, now);
  bool large_flows = now - peer.activity->large_at() < kLargeFlows;
  if (peer.path.path()->relay == kServerRelay && relays_.server_limits(now) && mtu.settled(*peer.path.path())) {
    mtu.rest();
    large_flows = false;
  }
  Record& record = peer.paths;
  if (std::exchange(record.sizes_asked_of_, peer.path.uses()) != peer.path.uses()) record.sizes_asked_.clear();
  const std::size_t passes = mtu.datagram(*peer.path.path(), headers_to(route.to));
  for (const auto& probe : mtu.take_due(large_flows, peer.path.round_trip(), now)) {
    // A datagram that is too large is lost on a path that loses nothing else.
    if (probe.size > passes) {
      record.sizes_asked_.push_back(probe.id);
      ++record.elsewhere_;
    }
    const std::size_t around = envelope + wire::kDataOverhead + mesh::kSizePingSize;
    out.push_back({probe.way, mesh::SizePingMessage{probe.id, probe.size - std::min(probe.size, around)}});
  }
  if (mtu.take_shrunk()) peer.path.note("large datagrams do not pass any more", now);
  return out;
}

void Paths::on_size_pong(Peer& peer, std::uint64_t id, Instant now) {
  mesh::PathMtu& mtu = peer.paths.mtu_;
  // The peer has counted it as arrived.
  if (peer.paths.sizes_asked_of_ == peer.path.uses() && std::erase(peer.paths.sizes_asked_, id) != 0) {
    --peer.paths.elsewhere_;
  }
  if (!mtu.on_answer(id, now)) return;
  const auto packets = peer.path.path() ? mtu.path_mtu(*peer.path.path()) : std::nullopt;
  if (packets) peer.path.note("packets of " + std::to_string(*packets) + " bytes pass", now);
}

}  // namespace eps::node
