// The path messages of node::Peers: pings and pongs, calls that make both ends search at once, and what members tell
// each other of third ones when there is no server to do so.

#include <algorithm>

#include "model/address_kinds.h"
#include "node/peers.h"

namespace eps::node {
namespace {
constexpr std::size_t kMaxObservers = 2;
constexpr Duration kAnswerPause = std::chrono::milliseconds(200);  // between two questions of one peer for others
constexpr Duration kIntroductionPause = std::chrono::seconds(1);
}  // namespace

void Peers::on(const mesh::PingMessage& ping, Peer& peer, const Arrival& arrival, std::uint32_t arrived, Instant now) {
  mesh::PongMessage pong{ping.id, arrival.relayed() ? Endpoint{} : arrival.from};
  if (ping.counted) pong.counts = {arrived, static_cast<std::uint32_t>(dropped_here())};
  send_control(peer, pong, arrival.way(), now);
  if (!arrival.relayed()) peer.path.heard_from(arrival.way(), now);
}

void Peers::on(const mesh::PongMessage& pong, Peer& peer, const Arrival& arrival, Instant now) {
  const bool guessed = guessing_.asked(peer.member.id, pong.id) && !arrival.relayed();
  if (guessed ? peer.path.adopt(arrival.way(), std::nullopt, now) : peer.path.on_pong(arrival.way(), pong.id, now)) {
    dirty_ = true;
    refresh_relays(now);
  }
  if (pong.counts) {
    const auto result = peer.tally.on_pong(pong.id, {pong.counts->arrived, pong.counts->lost_here});
    // An answer by another way than the one that was asked is told apart by on_pong().
    if (result && arrival.way() == peer.path.path() &&
        peer.path.on_counts(arrival.way(), result->sent, result->lost, now)) {
      dirty_ = true;
    }
  }
  if (guessed) run_guess(peer, now);
  if (!arrival.relayed() && arrival.socket == relays_.socket()) here_.note_seen(pong.seen_from);
}

// A server in our own LAN cannot tell how the internet sees us: members with a public address can, as every pong says
// where its ping came from.
void Peers::seek_observers(Instant now) {
  if (here_.seen_from_outside()) return;
  std::size_t asked = 0;
  for (auto& [id, other] : peers_) {
    if (!other.member.online || !has_public_address(other.member)) continue;
    touch(other);
    if (!other.sessions.current() && !other.sessions.pending()) start_handshake(other, now);
    if (++asked == kMaxObservers) return;
  }
}

// Tells the peer where we are and that we send there now, so that both NATs see a datagram leave before one comes.
void Peers::call(Peer& peer, bool moved, Instant now) {
  if (!peer.sessions.current() || (!moved && now - peer.called_at < kCallPause)) return;
  peer.called_at = now;
  const mesh::CallMessage message{moved, false, here_.nat().mapping, here_.own()};
  send_control(peer, message, now);
  if (!moved) return;
  // Which way still works is what nobody knows at this moment.
  for (const WayStatus& w : peer.path.ways(now)) {
    const bool relay_or_was_direct = !w.way.direct() || w.pongs > 0;
    if (!w.in_use && relay_or_was_direct) send_control(peer, message, w.way, now);
  }
}

void Peers::on(const mesh::CallMessage& call_message, Peer& peer, const Arrival& arrival, Instant now) {
  if (peer.nat != call_message.nat) peer.guessing.forgive();
  peer.nat = call_message.nat;
  const std::vector<Candidate> before = usable_candidates(peer);
  learn(peer, call_message.candidates, false, now);
  if (call_message.moved) {
    peer.mtu.moved();
    if (peer.path.moved(now)) dirty_ = true;
    if (!arrival.relayed()) peer.path.heard_from(arrival.way(), now);
  } else if (peer.path.direct()) {
    // Only who has no direct path calls.
    peer.path.doubt(now);
    peer.tick_at = std::min(peer.tick_at, now + mesh::kPingAgain);
  } else if (usable_candidates(peer) != before || now - peer.searched_at > kSearchPause) {
    peer.searched_at = now;
    peer.path.begin(now);
  }
  call(peer, false, now);
  if (call_message.guessing) consider_guessing(peer, Guessing::Asked::by_the_peer, now);
}

// The newest word of the peer itself or of a third member: it stands beside what the server said.
void Peers::learn(Peer& peer, const std::vector<Candidate>& candidates, bool probe, Instant now) {
  if (candidates.empty() || peer.told == candidates) return;
  peer.told = candidates;
  refresh_candidates(peer, probe, now);
}

void Peers::refresh_candidates(Peer& peer, bool probe, Instant now) {
  touch(peer);
  peer.path.set_candidates(usable_candidates(peer), here_.addresses(), now, probe, relays_.socket());
}

std::vector<Candidate> Peers::usable_candidates(const Peer& peer) const {
  return here_.usable(peer.member, peer.told, relays_.server());
}

// An IPv4 endpoint of the peer that is not merely claimed: where its datagrams come from, or where our server sees it.
// What a member says of itself could make all others send to a stranger.
std::optional<Endpoint> Peers::seen_endpoint_of(const Peer& peer) const {
  for (const Candidate& c : usable_candidates(peer)) {
    if (c.kind != Candidate::Kind::observed || !c.endpoint.ip.is_v4()) continue;
    if (std::ranges::find(peer.member.candidates, c) != peer.member.candidates.end()) return c.endpoint;
  }
  return peer.path.heard_at();
}

Guessing::Target Peers::target_of(Peer& peer) {
  return {peer.member.id, peer.guessing, peer.path, peer.sessions.current() != nullptr, peer.nat};
}

void Peers::consider_guessing(Peer& peer, Guessing::Asked asked, Instant now) {
  Guessing::Target target = target_of(peer);
  target.at = seen_endpoint_of(peer);
  if (!guessing_.consider(target, here_.nat().mapping, here_.own(), asked, now)) return;
  // More than once, against loss.
  const mesh::CallMessage message{false, true, here_.nat().mapping, here_.own()};
  for (int i = 0; asked == Guessing::Asked::no && i < 4; ++i) send_control(peer, message, now);
}

void Peers::run_guess(Peer& peer, Instant now) {
  if (!guessing_.runs_for(peer.member.id)) return;
  Guessing::Target target = target_of(peer);
  target.at = seen_endpoint_of(peer);
  for (const mesh::Ping& ping : guessing_.run(target, relays_.socket(), now)) {
    send_control(peer, mesh::PingMessage{ping.id}, ping.way, now);
  }
}

// Without the server, others may know where a member is now, and tell it that we are looking.
void Peers::ask_others_for(Peer& peer, Instant now) {
  seek_anchors_of(peer, now);
  std::size_t asked = 0;
  for (const auto& [id, other] : live_) {
    if (id == peer.member.id || !other->sessions.current() || !other->path.direct()) continue;
    send_control(*other, mesh::FindMessage{peer.member.id, here_.own()}, now);
    if (++asked == kMaxIntroducers) return;
  }
}

void Peers::on(const mesh::FindMessage& message, Peer& asker, const Arrival& arrival, Instant now) {
  if (now - asker.asked_us_at < kAnswerPause) return;
  asker.asked_us_at = now;
  Peer* sought = find(message.member);
  if (sought == nullptr || sought == &asker || !sought->sessions.current() || !sought->path.direct()) return;
  const auto introduce = [&](Peer& to, const Peer& about, std::optional<Endpoint> seen_at,
                             std::vector<Candidate> candidates) {
    if (seen_at) candidates.insert(candidates.begin(), {Candidate::Kind::seen, *seen_at});
    if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
    send_control(to, mesh::IntroduceMessage{about.member.id, std::move(candidates)}, now);
  };
  const std::optional<Endpoint> asker_at = arrival.relayed() ? std::nullopt : std::optional<Endpoint>(arrival.from);
  introduce(*sought, asker, asker_at, message.candidates);
  introduce(asker, *sought, sought->path.path()->to, usable_candidates(*sought));
}

void Peers::on(const mesh::IntroduceMessage& message, Peer& from, const Arrival&, Instant now) {
  Peer* peer = find(message.member);
  if (peer == nullptr || peer == &from || now - peer->introduced_at < kIntroductionPause) return;
  peer->introduced_at = now;
  peer->path.note(from.member.name + " told us where it is", now);
  learn(*peer, message.candidates, peer->sessions.current() != nullptr, now);
  if (peer->sessions.current()) {
    peer->path.begin(now);
    probe(*peer, now);
  } else if (peer->sessions.pending()) {
    send_initiation(*peer, peer->sessions.attempt(), now);
  } else {
    start_handshake(*peer, now);
  }
}

}  // namespace eps::node
