// SPDX-License-Identifier: MIT

// The path messages of node::Peers: pings and pongs, calls that make both ends search at once, and what members report
// about third ones when there is no server to do so. Paths decides what they say; here they are sent.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {
namespace {
constexpr std::size_t kMaxObservers = 2;
}  // namespace

void Peers::on(const mesh::PingMessage& ping, Peer& peer, const Arrival& arrival, std::uint32_t arrived, Instant now) {
  sender_.send(peer, paths_.pong(ping, arrival, arrived), arrival.way(), now);
  if (!arrival.relayed()) peer.path.heard_from(arrival.way(), now);
}

void Peers::on(const mesh::PongMessage& pong, Peer& peer, const Arrival& arrival, Instant now) {
  const bool guessed = guessing_.asked(peer.member.id, pong.id) && !arrival.relayed();
  if (guessed ? peer.path.adopt(arrival.way(), std::nullopt, now) : peer.path.on_pong(arrival.way(), pong.id, now)) {
    refresh_relays(now);
  }
  paths_.on_counts(peer, pong, arrival, now);
  if (guessed) run_guess(peer, now);
  if (!arrival.relayed() && arrival.socket == relays_.socket()) here_.note_seen(pong.seen_from, now);
}

// A server in our own LAN cannot say how the internet sees us. Members with a public address can, because every pong
// contains the source of its ping.
void Peers::seek_observers(Instant now) {
  if (here_.seen_from_outside()) return;
  std::size_t asked = 0;
  for (const auto& [id, member] : peers_.members()) {
    if (!member.online || !has_public_address(member)) continue;
    Peer& other = *find(id, now);
    if (!other.sessions.current() && !other.sessions.pending()) start_handshake(other, now);
    if (++asked == kMaxObservers) return;
  }
}

void Peers::call(Peer& peer, bool moved, Instant now) {
  sender_.send(peer, paths_.call(peer, moved, now), now);
}

void Peers::on(const mesh::CallMessage& message, Peer& peer, const Arrival& arrival, Instant now) {
  const bool another_waits = Paths::waiting_call_at(peer) != kNever;
  const Paths::Verdict verdict = Paths::judge(peer, message, arrival, now);
  if (verdict == Paths::Verdict::now) return take_call(message, peer, arrival, now);
  if (another_waits) {
    counters_.drop(Drop::rate_limited);
    peer.activity->counters.drop(Drop::rate_limited);
  }
  if (verdict == Paths::Verdict::tell) lan_.on_calls(peer.member, now);
}

void Peers::take_call(const mesh::CallMessage& message, Peer& peer, const Arrival& arrival, Instant now) {
  const Paths::Called called = paths_.on_call(peer, message, arrival, now);
  if (called.other_nat) peer.guessing.forgive();
  // It may call because it no longer hears this node.
  if (peer.path.path() == Way::through(kServerRelay)) relay_used_ = true;
  if (called.doubts) peer.tick_at = std::min(peer.tick_at, now + mesh::kPingAgain);
  call(peer, false, now);
  if (message.guessing) consider_guessing(peer, Guessing::Asked::by_the_peer, now);
}

void Peers::refresh_candidates(Peer& peer, bool probe, Instant now) {
  peers_.touch(peer);
  paths_.refresh(peer, probe, now);
}

Guessing::Target Peers::target_of(Peer& peer) {
  return {peer.member.id, peer.guessing, peer.path, peer.sessions.current() != nullptr, peer.paths.nat()};
}

void Peers::consider_guessing(Peer& peer, Guessing::Asked asked, Instant now) {
  Guessing::Target target = target_of(peer);
  target.at = paths_.seen_endpoint_of(peer);
  if (!guessing_.consider(target, here_.nat().mapping, here_.own(), asked, now)) return;
  // More than once, because of loss.
  const mesh::CallMessage message = paths_.call_message(false, true);
  for (int i = 0; asked == Guessing::Asked::no && i < 4; ++i) sender_.send(peer, message, now);
}

void Peers::run_guess(Peer& peer, Instant now) {
  if (!guessing_.runs_for(peer.member.id)) return;
  Guessing::Target target = target_of(peer);
  target.at = paths_.seen_endpoint_of(peer);
  for (const mesh::Ping& ping : guessing_.run(target, relays_.socket(), now)) {
    sender_.send(peer, mesh::PingMessage{ping.id}, ping.way, now);
  }
}

// Without the server, other members may know where a member is now, and tell it that we are looking for it.
void Peers::ask_others_for(Peer& peer, Instant now) {
  for (const MemberId id : anchors_.of(peer, peers_)) {
    Peer* anchor = find(id, now);
    if (anchor == nullptr) continue;
    if (anchor->sessions.current() && anchor->path.direct()) {
      sender_.send(*anchor, mesh::FindMessage{peer.member.id, here_.own()}, now);
    } else if (!anchor->sessions.pending()) {
      start_handshake(*anchor, now);
    }
  }
  std::size_t asked = 0;
  for (const auto& [id, other] : peers_.live()) {
    if (id == peer.member.id || !other->sessions.current() || !other->path.direct()) continue;
    sender_.send(*other, mesh::FindMessage{peer.member.id, here_.own()}, now);
    if (++asked == kMaxIntroducers) return;
  }
}

void Peers::on(const mesh::FindMessage& message, Peer& asker, const Arrival& arrival, Instant now) {
  if (!paths_.may_answer(asker, now)) return;
  Peer* sought = find(message.member, now);
  if (sought == nullptr) return;
  const auto introductions = paths_.introduce(asker, message.candidates, arrival, *sought);
  if (!introductions) return;
  sender_.send(*sought, introductions->to_sought, now);
  sender_.send(asker, introductions->to_asker, now);
}

void Peers::on(const mesh::IntroduceMessage& message, Peer& from, const Arrival&, Instant now) {
  Peer* peer = find(message.member, now);
  if (peer == nullptr || peer == &from || !Paths::may_introduce(from, now)) return;
  if (!paths_.on_introduced(*peer, from, message.candidates, now)) return;
  if (peer->sessions.current()) {
    peer->path.begin(now);
    probe(*peer, now);
  } else if (peer->sessions.pending()) {
    send_initiation(*peer, peer->sessions.attempt(), now);
  } else {
    start_handshake(*peer, now);
  }
}

// --- sizes ---------------------------------------------------------------------------------------------------------

void Peers::probe_size(Peer& peer, Instant now) {
  if (!Paths::sized(peer)) return;
  const dataplane::Peer to = route(peer);
  if (!to.ready()) return;
  sender_.send(peer, paths_.size_pings(peer, to, network_->mtu, now), now);
}

void Peers::on(const mesh::SizePingMessage& ping, Peer& peer, const Arrival& arrival, Instant now) {
  Paths::on_size_ping(peer, ping, arrival);
  sender_.send(peer, mesh::SizePongMessage{ping.id}, arrival.way(), now);
}

void Peers::on(const mesh::SizePongMessage& pong, Peer& peer, const Arrival&, Instant now) {
  paths_.on_size_pong(peer, pong.id, now);
}

// --- groups --------------------------------------------------------------------------------------------------------

void Peers::set_groups(GroupFilter filter, Instant now) {
  const std::set<MemberId> to_tell = listening_.on_filter(std::move(filter), now);
  for (const MemberId id : to_tell) {
    Peer* peer = find(id, now);
    if (peer == nullptr || !peer->sessions.current() || !peer->sessions.current()->has(Feature::groups)) continue;
    sender_.send(*peer, mesh::GroupsMessage{*listening_.filter()}, now);
  }
}

void Peers::on(const mesh::GroupsMessage& groups, Peer& peer, const Arrival&, Instant now) {
  peer.activity->listens.told(groups.filter, now);
}

}  // namespace eps::node
