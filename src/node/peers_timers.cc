// SPDX-License-Identifier: MIT

// The timers of node::Peers: it repeats handshakes, monitors paths, keeps NAT mappings open, and ends
// sessions at the end of their life.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {

void Peers::on_deadline(Instant now) {
  keep_anchors(now);
  tell_relay_limit(now);
  settle();
  for (const MemberId id : peers_.due(now)) {
    Peer& peer = *find(id, now);
    expire(peer, now);
    if (peer.sessions.due(now)) {
      if (peer.sessions.attempt() >= kHandshakeAttempts) {
        sessions_.give_up(peer.sessions);
        waiting_.drop(peer.waiting, Drop::not_ready);
        peer.unreachable_at = now;
      } else {
        send_initiation(peer, peer.sessions.attempt() + 1, now);
      }
    }
    if (const auto call = Paths::take_waiting_call(peer, now)) take_call(call->first, peer, call->second, now);
    if (now >= peer.tick_at) tick(peer, now);
    run_guess(peer, now);
    probe(peer, now);
  }
  serve_the_silent(now);
  if (!left_sides_.empty()) close_left_sides(now);
}

void Peers::keep_anchors(Instant now) {
  const auto chosen = anchors_.take_due(self_.id, peers_, now);
  if (!chosen) return;
  for (const MemberId id : *chosen) {
    Peer& peer = *find(id, now);
    peer.kept = true;
    peer.tick_at = std::min(peer.tick_at, now + kTick);
    if (!peer.sessions.pending() && !peer.sessions.may_send(now)) start_handshake(peer, now);
  }
}

void Peers::tick(Peer& peer, Instant now) {
  const Instant sent = peer.activity->sent_at();
  const Instant received = std::max(peer.activity->received_at(), peer.sessions.began());
  const bool flows = now - std::max(sent, peer.needed_at) < kActiveFor;
  if (peer.sessions.current() && flows) {
    // Hearing the peer on another path says nothing about the path in use: the peer may have left it already. Nor does
    // a new session, which may have started through the relay.
    if (peer.path.watch(sent, peer.activity->received_on_path_at(), now)) {
      call(peer, false, now);  // informs the other end as well
    }
    const bool silent = sent > received && now - received > mesh::kSilence;
    const bool by_server = peer.path.path() == Way::through(kServerRelay);
    // This node's own NAT may have lost all mappings; then the server, too, knows it by an old endpoint.
    if (peer.path.in_doubt() || (silent && by_server)) relay_doubt_ = true;
    if (by_server) relay_used_ = true;
    if (const auto& path = peer.path.path(); path && !path->direct() && !by_server) {
      // The relay's own session with us has to last as long as it is needed.
      if (Peer* relay = find(*path->relay, now)) {
        relay->needed_at = now;
        relay->tick_at = std::min(relay->tick_at, now + kTick);
      }
    }
    const bool dead = sent > received && now - received > kDeadAfter;
    if (dead && !peer.sessions.pending()) start_handshake(peer, now);
  }
  const bool wanted = flows || peer.kept;
  if (wanted && peer.sessions.current() && !peer.sessions.pending() && peer.sessions.current()->wants_rekey(now))
    start_handshake(peer, now);
  // A NAT mapping must stay open while the session lives; a path within a LAN needs no keepalive.
  const bool through_nat = peer.path.direct() && peer.sessions.current() && !peer.path.on_lan();
  // Answers to the peer may take another path, and keep none of our mappings open.
  Instant keepalive_at = through_nat ? std::max(sent, peer.path.pinged_at()) + kNatKeepalive : kNever;
  const bool in_question = !peer.member.online && peer.path.direct() && peer.sessions.current();
  if (in_question) keepalive_at = std::max(peer.path.pinged_at() + kAskOffline, peer.offline_at);
  if (now >= keepalive_at) peer.path.ask(now);
  if (!guessing_.runs_for(peer.member.id)) guessing_.tidy(target_of(peer), now);
  const Duration pause = peer.path.in_doubt() ? mesh::kPingAgain : kTick;
  const Duration next = in_question ? kAskOffline : kNatKeepalive;
  peer.tick_at = flows ? now + pause : now >= keepalive_at ? now + next : keepalive_at;
  if (peer.kept && peer.sessions.current() && !flows) {
    const Instant rekey_at = peer.sessions.current()->established_at() + session::kRekeyAfter;
    peer.tick_at = std::min(peer.tick_at, std::max(rekey_at, now + std::chrono::seconds(1)));
  }
}

// Expired sessions go, and their keys with them. A session that no longer seals keeps no path open either: the next
// handshake has to search on every path.
void Peers::expire(Peer& peer, Instant now) {
  if (const std::size_t lost = peer.activity->fragments.expire(now); lost > 0) {
    counters_.drop(Drop::incomplete, lost);
    peer.activity->counters.drop(Drop::incomplete, lost);
  }
  if (sessions_.expire(peer.sessions, now)) {
    peer.path.reset(now);
    guessing_.tidy(target_of(peer), now);
    refresh_relays(now);
  }
}

// Sockets that the server knew this node by before, once no path uses them.
void Peers::close_left_sides(Instant now) {
  std::erase_if(left_sides_, [&](ports::SocketId side) {
    const auto needs = [&](const auto& entry) {
      return entry.second->sessions.current() && entry.second->path.needs_socket(side, now);
    };
    if (std::ranges::any_of(peers_.live(), needs)) return false;
    for (auto& [id, peer] : peers_.awake()) peer.path.forget_socket(side);
    out_.close_side(side);
    return true;
  });
}

Instant Peers::deadline_of(const Peer& peer) const {
  Instant at = std::min(peer.tick_at, Paths::waiting_call_at(peer));
  if (peer.sessions.current()) at = std::min(at, peer.path.next_deadline());  // without it, there is nothing to probe
  if (Paths::sized(peer) && route(peer).ready()) at = std::min(at, peer.paths.mtu().next_deadline());
  at = std::min(at, peer.sessions.next_deadline());
  at = std::min(at, guessing_.next_deadline(peer.member.id));
  return at;
}

}  // namespace eps::node
