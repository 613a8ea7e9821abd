// SPDX-License-Identifier: MIT
#include "node/peers.h"

#include <algorithm>

#include "base/check.h"
#include "mesh/path_message.h"
#include "wire/datagram.h"

namespace eps::node {

Peers::Peers(PeersParams params, dataplane::Outbox& out, Rng& rng)
    : params_(std::move(params)),
      out_(out),
      rng_(rng),
      peers_(rng),
      anchors_(rng),
      sessions_(params_, counters_, notes_, rng),
      waiting_(out, counters_),
      guessing_(out, rng),
      relays_(params_.relay_for_others, rng, params_.relay_limit),
      paths_(here_, relays_, counters_),
      sender_(out, relays_, paths_),
      lan_(params_.device, notes_),
      policy_(rng) {}

void Peers::set_self(const NetworkInfo& network, const Member& self, Instant now) {
  const bool same =
      network_ == network && self_.id == self.id && self_.mac == self.mac && self_.address == self.address;
  const bool moved = network_ && network_->network6 != network.network6;
  network_ = network;
  here_.set_network(network);
  if (moved) {
    for (const auto& [id, member] : peers_.members()) lan_.move_in(member, &member, address6(member.mac));
  }
  if (self_.grants != self.grants) lan_.on_grants(self);
  self_ = self;
  sessions_.set_self(network.id, self.mac);
  if (!same) {
    began_ = now;
    anchors_.set_relayed(relays_.server_relays(), peers_, now);
    for (const auto& [id, peer] : peers_.live()) forget_sessions(*peer, now);
    lan_.move_out(self);
    if (peers_.members().contains(self.id)) drop(self.id, now);
    for (const auto& [id, peer] : peers_.live()) {
      if (!peer->waiting.empty()) start_handshake(*peer, now);
    }
  }
  on_deadline(now);
}

void Peers::set_relay(const Endpoint& server, std::uint32_t tag, ServerRelay by, Instant now, ports::SocketId socket) {
  const RelayDirectory::ServerChange change = relays_.set_server(server, tag, by, socket);
  anchors_.set_relayed(relays_.server_relays(), peers_, now);
  // Who stands beside the server is looked for at its address.
  if (change.socket || change.address) {
    for (auto& [id, peer] : peers_.awake())
      refresh_candidates(peer, peer.sessions.current() && !peer.path.direct(), now);
  }
  refresh_relays(now);
  if (change.usable) {
    for (const auto& [id, peer] : peers_.live()) {
      // Earlier messages could not get through: repeat them now rather than at the next retry.
      peer->sessions.hurry(now);
      if (peer->sessions.current() && !peer->path.direct()) peer->path.begin(now);
    }
  }
  on_deadline(now);
}

std::vector<LanFinding> Peers::findings(Instant now) const {
  std::vector<LanFinding> out = lan_.findings(now);
  if (auto set_back = sessions_.set_back(now)) out.push_back(std::move(*set_back));
  return out;
}

void Peers::set_own_candidates(std::vector<Candidate> candidates, std::vector<IpAddress> local, Instant now) {
  if (!here_.set_own(std::move(candidates), std::move(local))) return;
  // Neighbouring networks have changed.
  for (auto& [id, peer] : peers_.awake()) refresh_candidates(peer, false, now);
}

void Peers::set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels, Instant now) {
  if (!here_.set_inside(std::move(inside), std::move(tunnels))) return;
  for (auto& [id, peer] : peers_.awake()) refresh_candidates(peer, false, now);
}

void Peers::set_own_nat(NatStatus nat, Instant now) {
  if (!here_.set_nat(nat)) return;
  for (const auto& [id, peer] : peers_.live()) {
    if (!peer->path.searching_for(now)) continue;
    paths_.end_call_pause(*peer);
    call(*peer, false, now);
  }
}

void Peers::update_members(const MemberList& list, Instant now, const std::map<MemberId, RefusedPeer>& refused,
                           const MembersChanged& changed, const std::set<MemberId>& without_grants) {
  const auto take_in_allowed = [&](MemberMap::Record record) {
    if (without_grants.contains(record->id) && record->grants.any()) {
      Member without = *record;
      without.grants = {};
      record = std::make_shared<const Member>(std::move(without));
    }
    take_in(std::move(record), now);
  };
  const auto is_peer = [&](const Member* member, const PublicKey& key) {
    return member != nullptr && member->key == key && !refused.contains(member->id);
  };
  if (changed.all) {
    std::vector<MemberId> gone;
    for (const auto& [id, member] : peers_.members()) {
      if (!is_peer(list.find(id), member.key)) gone.push_back(id);
    }
    for (const MemberId id : gone) drop(id, now);
    for (auto it = list.members().begin(); it != list.members().end(); ++it) {
      const MemberId id = it.record()->id;
      if (id != self_.id && !refused.contains(id)) take_in_allowed(it.record());
    }
  } else {
    for (const MemberId id : changed.ids) {
      const Member* known = peers_.member(id);
      if (known != nullptr && !is_peer(list.find(id), known->key)) drop(id, now);
    }
    for (const MemberId id : changed.ids) {
      MemberMap::Record record = list.members().record(id);
      if (record != nullptr && id != self_.id && !refused.contains(id)) take_in_allowed(std::move(record));
    }
  }
  lan_.on_list(!list.members().empty());
  if (const Member* self = list.find(self_.id)) {
    Grants grants = without_grants.contains(self_.id) ? Grants{} : self->grants;
    if (self_.grants != grants) {
      self_.grants = std::move(grants);
      lan_.on_grants(self_);
    }
  }
  for (const Sessions::Early& early : sessions_.take_early(now)) on_initiation(early.arrival, early.datagram, now);
  on_deadline(now);
}

void Peers::drop(MemberId id, Instant now) {
  if (peers_.awake(id) != nullptr) {
    Peer& peer = *find(id, now);
    waiting_.drop(peer.waiting, Drop::no_peer);
    forget_sessions(peer, now);
  }
  lan_.move_out(*member(id));
  policy_.forget(id);
  relays_.forget(id);
  peers_.erase(id);
}

void Peers::take_in(MemberMap::Record record, Instant now) {
  const MemberMap::Record before = peers_.members().record(record->id);
  // A server that has just restarted has no candidates yet: the known ones are better than nothing.
  if (before != nullptr && record->candidates.empty() && !before->candidates.empty()) {
    Member with = *record;
    with.candidates = before->candidates;
    record = std::make_shared<const Member>(std::move(with));
  }
  if (before != nullptr && *before == *record) return;
  const Member& member = *record;
  lan_.move_in(member, before.get(), address6(member.mac));
  if (before != nullptr) policy_.peer_changed(*before, member);
  relays_.on_member(member);
  peers_.put(record);
  if (peers_.awake(member.id) == nullptr) return;
  Peer& peer = *find(member.id, now);
  const bool moved = peer.member.mac != member.mac || peer.member.address != member.address;
  if (moved) forget_sessions(peer, now);
  const bool changed = member.candidates != peer.member.candidates;
  const auto direct_is_in = [&](const std::vector<Candidate>& all) {
    return std::any_of(all.begin(), all.end(), [&](auto& c) { return peer.path.has(c.endpoint); });
  };
  // The endpoint in use is no longer the peer's: it has moved, or restarted and lost the session.
  const bool left = changed && direct_is_in(peer.member.candidates) && !direct_is_in(member.candidates);
  const bool came = member.online && !peer.member.online;
  if (came) peer.activity->listens.forget();
  if (peer.member.online && !member.online) {
    peer.offline_at = now;
    peer.tick_at = std::min(peer.tick_at, now);  // is it?
  }
  peer.member = member;
  if (changed) paths_.on_listed(peer, now);
  if (left) peer.path.moved(now);
  peer.path.set_relays(relays_.usable_for(peer), now);
  if (changed || came) peer.sessions.hurry(now);
  if (left && peer.sessions.current() && !peer.sessions.pending()) start_handshake(peer, now);
}

void Peers::on_network_change(Instant now) {
  here_.moved();
  for (const auto& [id, peer] : peers_.live()) {
    peers_.touch(*peer);
    peer->guessing.forgive();  // perhaps behind another router
    peer->path.moved(now);
    paths_.forget_sizes(*peer);
    if (peer->sessions.current()) call(*peer, true, now);
  }
  on_deadline(now);
}

void Peers::on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now) {
  for (dataplane::Upcall& upcall : upcalls) {
    const auto loops = [&](const auto& u) {
      if constexpr (requires { u.arrival; }) return !u.arrival.relayed() && here_.is_inside(u.arrival.from.ip);
      return false;
    };
    if (std::visit(loops, upcall)) {
      counters_.drop(Drop::looped);
      continue;
    }
    std::visit([&](auto& u) { on(u, now); }, upcall);
  }
}

void Peers::on(dataplane::HandshakeDatagram& datagram, Instant now) {
  switch (wire::type_of(datagram.bytes).value_or(wire::Type::data)) {
    case wire::Type::initiation:
      return on_initiation(datagram.arrival, datagram.bytes, now);
    case wire::Type::response:
      return on_response(datagram.arrival, datagram.bytes, now);
    case wire::Type::cookie_reply:
      return on_cookie_reply(datagram.bytes, now);
    case wire::Type::number_reply:
      return on_number_reply(datagram.bytes, now);
    default:
      counters_.drop(Drop::malformed);
  }
}

void Peers::on(dataplane::NeedSession& need, Instant now) {
  Peer* peer = find(need.peer, now);
  if (peer == nullptr) return counters_.drop(Drop::no_peer);
  waiting_.add(peer->waiting, std::move(need.frame), need.meta);
  peer->needed_at = now;
  peer->tick_at = std::min(peer->tick_at, now + kTick);
  const bool sealing = peer->sessions.may_send(now);
  if (sealing && route(*peer).ready()) return flush_waiting(*peer, now);
  if (!peer->sessions.pending() && !sealing) start_handshake(*peer, now);
}

void Peers::on(dataplane::SessionConfirmed& confirmed, Instant now) {
  Peer* peer = find(confirmed.peer, now);
  if (peer == nullptr) return;
  confirm(*peer, confirmed.local_index, now);
  // The initiator sends frames directly only by a path that brought it our response or a pong: that path works both
  // ways. The relay, which would be used until a ping is answered, may be gone.
  if (confirmed.by_frame && !confirmed.arrival.relayed() && peer->sessions.current() &&
      peer->sessions.current()->local_index() == confirmed.local_index && !peer->path.direct()) {
    peer->path.adopt(confirmed.arrival.way(), std::nullopt, now);
  }
}

// Its sender seals for a session that we lost when this program restarted. An initiation repairs that in one round
// trip. In a foreign LAN, a peer may also have sent us what it meant for another computer with our address elsewhere:
// answering that would open sessions that nobody needs, whose probes go astray in turn. Anybody can forge such a
// datagram, so we answer at most one a second.
void Peers::on(dataplane::UnknownSession& unknown, Instant now) {
  if (!began_ || now - *began_ > session::kReceiveUntil) return;
  Peer* peer = nullptr;
  if (unknown.arrival.relayed()) {
    peer = find(unknown.arrival.relayed_from, now);
  } else {
    std::optional<MemberId> sender;
    for (const auto& [id, member] : peers_.members()) {
      const auto& c = member.candidates;
      if (std::ranges::find(c, unknown.arrival.from, &Candidate::endpoint) == c.end()) continue;
      if (sender) return;  // in different LANs, and we do not know which
      sender = id;
    }
    if (sender) peer = find(*sender, now);
  }
  if (peer == nullptr || peer->sessions.current() || peer->sessions.pending()) return;
  if (now - peer->last_unknown_session < std::chrono::seconds(1)) return;
  peer->last_unknown_session = now;
  start_handshake(*peer, now);
}

void Peers::on(dataplane::PeerWoke& woke, Instant now) {
  Peer* peer = find(woke.peer, now);
  if (peer == nullptr) return;
  peer->tick_at = std::min(peer->tick_at, now + kTick);
  if (!peer->path.direct() && peer->path.next_deadline() == kNever && peer->sessions.current()) peer->path.begin(now);
}

void Peers::on(dataplane::HeardElsewhere& heard, Instant now) {
  Peer* peer = find(heard.peer, now);
  if (peer == nullptr) return;
  peer->path.heard_from(heard.arrival.way(), now);
  probe(*peer, now);
}

void Peers::on(dataplane::PathControl& control, Instant now) {
  Peer* peer = find(control.peer, now);
  const auto message = mesh::decode_path_message(control.bytes);
  if (peer == nullptr || !message) return counters_.drop(Drop::malformed);
  // Another worker may have received the first datagram of the session without having reported it yet.
  confirm(*peer, control.local_index, now);
  std::visit(
      [&](const auto& m) {
        if constexpr (std::is_same_v<std::decay_t<decltype(m)>, mesh::PingMessage>) {
          on(m, *peer, control.arrival, control.arrived, now);
        } else {
          on(m, *peer, control.arrival, now);
        }
      },
      *message);
  probe(*peer, now);
}

std::vector<PeerStatus> Peers::status(Instant now) const {
  std::vector<PeerStatus> out;
  const Standpoint here = standpoint(now);
  for (const auto& [id, member] : peers_.members()) {
    const Peer* peer = peers_.awake(id);
    out.push_back(peer == nullptr ? status_of(member, here)
                                  : with_policy(status_of(*peer, route(*peer), here, now), *peer));
  }
  return out;
}

std::vector<PeerStatus> Peers::status_of_met(Instant now) const {
  std::vector<PeerStatus> out;
  const Standpoint here = standpoint(now);
  for (const auto& [id, peer] : peers_.met()) out.push_back(status_of(*peer, route(*peer), here, now));
  return out;
}

std::optional<PeerWhy> Peers::why(std::string_view name, Instant now) const {
  for (const auto& [id, member] : peers_.members()) {
    if (member.name != name && to_string(member.address) != name) continue;
    Peer silent(member, rng_);
    wake(silent, now);
    const Peer* known = peers_.awake(id);
    const Peer& peer = known != nullptr ? *known : silent;
    const PeerStatus status = with_policy(status_of(peer, route(peer), standpoint(now), now), peer);
    return PeerWhy{status, here_.nat(), peer.path.ways(now), peer.path.events(now)};
  }
  return std::nullopt;
}

// --- handshakes and sessions ---------------------------------------------------------------------------------------

void Peers::start_handshake(Peer& peer, Instant now) {
  if (!network_ || self_.id.value == 0) return;
  wanted_.push_back(peer.member.id);
  send_initiation(peer, 0, now);
}

void Peers::send_initiation(Peer& peer, int attempt, Instant now) {
  peers_.touch(peer);
  // Nobody maintained these while the peer was silent.
  if (!sessions_.repeats(peer.sessions, attempt)) peer.path.set_relays(relays_.usable_for(peer), now);
  const auto datagram = sessions_.initiate(peer.sessions, peer.member, attempt, now);
  if (!datagram) return waiting_.drop(peer.waiting, Drop::no_peer);
  // A rekey uses the path in use; every path is tried only if that does not answer.
  const bool rekey = attempt == 0 && peer.sessions.current() && peer.path.direct();
  sender_.send_handshake(peer, *datagram, rekey ? Sender::Spread::best : Sender::Spread::every);
  if (!rekey && !relays_.server_relays()) {
    ask_others_for(peer, now);
    seek_relays(peer, now);
  }
}

void Peers::on_initiation(const Arrival& arrival, ByteView datagram, Instant now) {
  if (sessions_.wants_addresses(now)) sessions_.set_addresses(addresses(), now);
  Sessions::Read read = sessions_.read_initiation(arrival, datagram, now);
  if (!read.initiation) return sender_.answer(arrival, read.reply);
  Peer* peer = find_key(read.initiation->request.initiator, now);
  list_doubt_ |= peer == nullptr;
  if (peer == nullptr) return sessions_.keep_for_later(arrival, datagram, now);
  const Sessions::Answer out = sessions_.answer(peer->sessions, peer->member, *read.initiation, datagram, now);
  if (out.made) peer->path.set_relays(relays_.usable_for(*peer), now);
  sender_.answer(arrival, out.reply);
}

void Peers::on_response(const Arrival& arrival, ByteView datagram, Instant now) {
  const auto response = wire::parse_response(datagram);
  if (!response || !sessions_.mac1_ok(datagram)) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(response->receiver, now);
  if (peer == nullptr) return counters_.drop(Drop::unknown_session);
  auto session = sessions_.finish(peer->sessions, peer->member, *response, now);
  if (!session) return;
  if (!arrival.relayed()) peer->path.adopt(arrival.way(), std::nullopt, now);
  install(*peer, std::move(session), now);
}

void Peers::on_cookie_reply(ByteView datagram, Instant now) {
  if (datagram.size() < 4) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(load_be24(datagram.data() + 1), now);
  if (peer == nullptr || !sessions_.take_cookie_reply(peer->sessions, datagram, now)) {
    return counters_.drop(Drop::bad_tag);
  }
  send_initiation(*peer, peer->sessions.attempt(), now);
}

void Peers::on_number_reply(ByteView datagram, Instant now) {
  if (datagram.size() < 4 || !network_) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(load_be24(datagram.data() + 1), now);
  if (peer == nullptr || !peer->sessions.pending()) return counters_.drop(Drop::unknown_session);
  if (sessions_.take_number_reply(peer->sessions, peer->member, datagram, now)) send_initiation(*peer, 0, now);
}

void Peers::confirm(Peer& peer, std::uint32_t local_index, Instant now) {
  if (auto session = sessions_.confirm(peer.sessions, local_index)) install(peer, std::move(session), now);
}

void Peers::install(Peer& peer, Sessions::SessionPtr session, Instant now) {
  const bool first = sessions_.install(peer.sessions, std::move(session), now);
  if (first) wanted_.push_back(peer.member.id);
  peer.activity->listens.forget();
  paths_.on_session(peer);
  relays_.on_session(peer);
  peer.tick_at = std::min(peer.tick_at, now + kTick);
  flush_waiting(peer, now);
  // The peer must not seal anything until it has opened something of ours.
  if (peer.sessions.current()->initiator()) peer.path.ask(now);
  if (first || !peer.path.direct()) peer.path.begin(now);
  probe(peer, now);
  refresh_relays(now);
}

// --- the LAN -------------------------------------------------------------------------------------------------------

// Members that the worker did not reach: at once through sessions made meanwhile, the others in turn.
void Peers::on(dataplane::ForTheSilent& frame, Instant now) {
  if (!silent_limit_.take(now, kSilentPause, kSilentBurst)) return counters_.drop(Drop::rate_limited);
  std::vector<MemberId> missing;
  for (const auto& [id, member] : peers_.members()) {
    if (std::ranges::binary_search(frame.served, id)) continue;
    const Peer* peer = peers_.awake(id);
    if (peer != nullptr && peer->sessions.may_send(now) && route(*peer).ready()) {
      dataplane::NeedSession need{id, frame.frame, frame.meta};
      on(need, now);
    } else if (member.online) {
      missing.push_back(id);
    }
  }
  counters_.drop(Drop::not_ready, broadcasts_.add({std::move(frame.frame), frame.meta}, std::move(missing), now));
  serve_the_silent(now);
}

void Peers::serve_the_silent(Instant now) {
  while (auto turn = broadcasts_.next(rng_, now)) {
    const Peer* peer = find(turn->to, now);
    if (peer == nullptr || !peer->member.online) continue;
    for (Broadcasts::Frame& frame : turn->frames) {
      dataplane::NeedSession need{turn->to, std::move(frame.bytes), frame.meta};
      on(need, now);
    }
  }
}

void Peers::on(dataplane::FrameRefused& refused, Instant now) {
  const Member* sender = member(refused.from);
  if (sender == nullptr && refused.from.value != 0) return;
  const bool outside =
      sender == nullptr && std::ranges::find(here_.addresses(), refused.refusal.address) != here_.addresses().end();
  lan_.on(refused, sender ? *sender : self_, member(refused.owner), outside, now);
}

void Peers::on(dataplane::LoopSeen& seen, Instant now) {
  lan_.on(seen, member(seen.twin), now);
}

void Peers::on(dataplane::TooManyGroupFrames& too_many, Instant now) {
  const Member* sender = member(too_many.from);
  if (sender != nullptr || too_many.from.value == 0) lan_.on(too_many, sender, now);
}

// --- paths ----------------------------------------------------------------------------------------------------------

void Peers::probe(Peer& peer, Instant now) {
  if (!peer.sessions.current()) return;
  // In both directions: a node that only receives has to help in the search as well.
  const Instant sent = std::max(peer.activity->sent_at(), peer.needed_at);
  const bool flows = now - std::max(sent, peer.activity->received_at()) < kActiveFor;
  const auto pings = peer.path.take_due(now, flows, sent);
  for (const mesh::Ping& ping : pings) sender_.send(peer, paths_.ping(peer, ping, now), ping.way, now);
  probe_size(peer, now);
  const auto searching = peer.path.searching_for(now);
  if (searching && !pings.empty()) {
    call(peer, false, now);
    if (flows && !relays_.server_relays()) ask_others_for(peer, now);
  }
  if (searching && flows && *searching > kObserversAfter) seek_observers(now);
  if (searching && flows && *searching > kNewFlowAfter && peer.path.flow_died(relays_.socket()) &&
      now - flow_doubted_at_ > kNewFlowPause) {
    flow_doubt_ = true;
    flow_doubted_at_ = now;
  }
  if (searching && flows) consider_guessing(peer, Guessing::Asked::no, now);
  if (searching && flows && (*searching > kRelayAfter || !relays_.server_relays())) seek_relays(peer, now);
}

}  // namespace eps::node
