// SPDX-License-Identifier: MIT

// The bookkeeping of node::Peers: sessions by their index, peers by their key, and the snapshot for the data plane.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {

void Peers::forget_sessions(Peer& peer, Instant now) {
  touch(peer);
  sessions_.end(peer.sessions);
  relays_.end_sessions(peer);
  peer.path.reset(now);
  guessing_.stop(target_of(peer), now);
  dirty_ = true;
}

// It is no longer a member.
void Peers::forget(Peer& peer, Instant now) {
  forget_sessions(peer, now);
  std::erase(touched_, &peer);
  timers_.erase({peer.timer_at, peer.member.id});
  live_.erase(peer.member.id);
  met_.erase(peer.member.id);
}

std::vector<MemberId> Peers::in_touch() const {
  std::vector<MemberId> out;
  for (const auto& [id, peer] : live_) {
    if (peer->sessions.current() || peer->sessions.pending()) out.push_back(id);
  }
  return out;
}

std::vector<IpAddress> Peers::addresses() const {
  std::vector<IpAddress> out;
  for (const auto& [id, member] : members_) {
    for (const Candidate& candidate : member.candidates) out.push_back(candidate.endpoint.ip);
  }
  for (const auto& [id, peer] : peers_) {
    if (const auto& path = peer.path.path(); path && path->direct()) out.push_back(path->to.ip);
  }
  return out;
}

const Peer* Peers::awake(MemberId id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

// Nobody told it anything while it was silent.
void Peers::wake(Peer& peer, Instant now) const {
  paths_.on_listed(peer, now);
  peer.path.set_relays(relays_.usable_for(peer), now);
}

Peer* Peers::find(MemberId id, Instant now) {
  auto it = peers_.find(id);
  if (it == peers_.end()) {
    const Member* silent = members_.find(id);
    if (silent == nullptr) return nullptr;
    it = peers_.try_emplace(id, *silent, rng_).first;
    wake(it->second, now);
  }
  touch(it->second);
  return &it->second;
}

Peer* Peers::find_key(const PublicKey& key, Instant now) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : find(it->second, now);
}

Peer* Peers::find_index(std::uint32_t index, Instant now) {
  const auto owner = sessions_.owner_of(index);
  return owner ? find(*owner, now) : nullptr;
}

Standpoint Peers::standpoint() const {
  return {here_.nat().mapping, here_.forwarded(), relays_.server_relays()};
}

dataplane::Peer Peers::route(const Peer& peer) const {
  dataplane::Peer out;
  out.id = peer.member.id;
  out.mac = peer.member.mac;
  out.address = peer.member.address;
  out.further = peer.member.grants.ranges;
  out.bridge = peer.member.grants.bridge;
  out.serves_dhcp = peer.member.grants.may_serve_dhcp();
  out.address6 = address6(peer.member.mac);
  out.session = peer.sessions.current();
  out.next = peer.sessions.unconfirmed();
  out.activity = peer.activity;
  if (params_.copy_dscp) out.outer_class |= l2::kDscpMask;
  // A peer that does not copy marks would lose them.
  if (out.session && out.session->has(Feature::ecn)) out.outer_class |= l2::kEcnMask;
  const auto& path = peer.path.path();
  if (!path) return out;
  if (path->direct()) {
    out.to = path->to;
    out.socket = path->socket;
  } else if (const auto hop = relays_.hop_of(*path->relay)) {
    out.to = hop->endpoint;
    out.socket = hop->socket;
    out.relayed = true;
    out.envelope = {peer.member.id, hop->tag};
  }
  Paths::set_sizes(peer, out);
  return out;
}

dataplane::Peer Peers::ruled(const Peer& peer) {
  dataplane::Peer out = route(peer);
  out.rules = policy_.rules_for(peer.member);
  return out;
}

std::shared_ptr<const dataplane::PeerTable> Peers::commit(Instant now) {
  settle_timers();
  if ((!dirty_ && !lan_.changed()) || !network_) return nullptr;
  dirty_ = false;
  auto table = std::make_shared<dataplane::PeerTable>();
  table->self = self_.id;
  table->self_mac = self_.mac;
  table->self_address = self_.address;
  table->self_further = self_.grants.ranges;
  table->self_bridge = self_.grants.bridge;
  table->self_serves_dhcp = self_.grants.may_serve_dhcp();
  table->network = network_->network;
  table->self_address6 = address6(self_.mac);
  lan_.fill(*table);
  table->listens = listening_.filter();
  table->mtu = network_->mtu;
  table->policy = policy_.in_force();
  table->relays = relays_.hops();
  table->serves = relays_.serves(live_);
  // The others are in the directory.
  for (const auto& [id, peer] : met_) {
    const auto receiving = peer->sessions.receiving();
    if (!peer->member.online && receiving.empty()) continue;
    const auto at = static_cast<std::uint32_t>(table->peers.size());
    table->peers.push_back(ruled(*peer));
    table->by_mac.emplace(peer->member.mac, at);
    for (const auto& session : receiving) {
      table->by_index.insert_or_assign(session->local_index(), dataplane::PeerTable::Receiving{session, at});
    }
  }
  offer_relaying(now);
  // A path that has just opened is what these waited for.
  for (const auto& [id, peer] : live_) {
    if (peer->sessions.current()) flush_waiting(*peer, now);
  }
  return table;
}

}  // namespace eps::node
