// SPDX-License-Identifier: MIT

// The bookkeeping of node::Peers: sessions by their index, peers by their key, and the snapshot for the data plane.

#include <algorithm>

#include "base/check.h"
#include "node/peers.h"

namespace eps::node {

void Peers::forget_sessions(Peer& peer, Instant now) {
  peers_.touch(peer);
  sessions_.end(peer.sessions);
  relays_.end_sessions(peer);
  peer.path.reset(now);
  guessing_.stop(target_of(peer), now);
}

std::vector<MemberId> Peers::in_touch() const {
  std::vector<MemberId> out;
  for (const auto& [id, peer] : peers_.live()) {
    if (peer->sessions.current() || peer->sessions.pending()) out.push_back(id);
  }
  return out;
}

std::vector<IpAddress> Peers::addresses() const {
  std::vector<IpAddress> out;
  for (const auto& [id, member] : peers_.members()) {
    for (const Candidate& candidate : member.candidates) out.push_back(candidate.endpoint.ip);
  }
  for (auto& [id, peer] : peers_.awake()) {
    if (const auto& path = peer.path.path(); path && path->direct()) out.push_back(path->to.ip);
  }
  return out;
}

// Nobody told it anything while it was silent.
void Peers::wake(Peer& peer, Instant now) const {
  paths_.on_listed(peer, now);
  peer.path.set_relays(relays_.usable_for(peer), now);
}

Peer* Peers::find(MemberId id, Instant now) {
  const PeerSet::Found found = peers_.find(id);
  if (found.woke) wake(*found.peer, now);
  return found.peer;
}

Peer* Peers::find_key(const PublicKey& key, Instant now) {
  const auto owner = peers_.owner_of(key);
  return owner ? find(*owner, now) : nullptr;
}

Peer* Peers::find_index(std::uint32_t index, Instant now) {
  const auto owner = sessions_.owner_of(index);
  return owner ? find(*owner, now) : nullptr;
}

Standpoint Peers::standpoint(Instant now) const {
  return {here_.nat().mapping, here_.forwarded(now), relays_.server_relays(), relays_.server_limits(now)};
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
  Paths::set_sizes(peer, out, network_ ? network_->mtu : 0);
  return out;
}

dataplane::Peer Peers::ruled(const Peer& peer) {
  dataplane::Peer out = route(peer);
  out.rules = policy_.rules_for(peer.member);
  return out;
}

dataplane::NetworkView Peers::view() {
  dataplane::NetworkView out;
  out.self = self_.id;
  out.self_mac = self_.mac;
  out.self_address = self_.address;
  out.self_further = self_.grants.ranges;
  out.self_bridge = self_.grants.bridge;
  out.self_serves_dhcp = self_.grants.may_serve_dhcp();
  out.network = network_->network;
  out.self_address6 = address6(self_.mac);
  lan_.fill(out);
  out.listens = listening_.filter();
  out.mtu = network_->mtu;
  out.policy = policy_.in_force();
  out.relays = relays_.hops();
  return out;
}

// The other members are in the directory alone.
bool Peers::in_table(const Peer& peer, const std::vector<Sessions::SessionPtr>& receiving) const {
  return peers_.met().contains(peer.member.id) && (peer.member.online || !receiving.empty());
}

bool Peers::differs_from_table(const Peer& peer) {
  if (table_ == nullptr) return true;
  const auto service = relays_.service_for(peer);
  const auto* served = table_->serves == nullptr ? nullptr : table_->serves->by_id(peer.member.id);
  if (service.has_value() != (served != nullptr) || (served != nullptr && *service != *served)) return true;
  const auto receiving = peer.sessions.receiving();
  if (in_table(peer, receiving) != peer.row.has_value()) return true;
  return peer.row && (receiving != peer.receiving || ruled(peer) != table_->peers[*peer.row]);
}

std::shared_ptr<const dataplane::PeerTable> Peers::make_table(dataplane::NetworkView view) {
  auto table = std::make_shared<dataplane::PeerTable>();
  static_cast<dataplane::NetworkView&>(*table) = std::move(view);
  table->serves = relays_.serves(peers_.live());
  for (const auto& [id, peer] : peers_.met()) {
    peer->row.reset();
    peer->receiving = peer->sessions.receiving();
    if (!in_table(*peer, peer->receiving)) continue;
    const auto at = static_cast<std::uint32_t>(table->peers.size());
    peer->row = at;
    table->peers.push_back(ruled(*peer));
    table->by_mac.emplace(peer->member.mac, at);
    for (const auto& session : peer->receiving) {
      table->by_index.insert_or_assign(session->local_index(), dataplane::PeerTable::Receiving{session, at});
    }
  }
  return table;
}

// Ends a step, or a part of one.
void Peers::settle() {
  peers_.settle([&](const Peer& peer) {
    stale_ = stale_ || differs_from_table(peer);
    return deadline_of(peer);
  });
}

std::shared_ptr<const dataplane::PeerTable> Peers::commit(Instant now) {
  settle();
  if (!network_) return nullptr;
  dataplane::NetworkView current = view();
  if (!std::exchange(stale_, false) && table_ != nullptr && current == *table_) {
    EPS_CHECK(!params_.check_tables || *make_table(std::move(current)) == *table_);
    return nullptr;
  }
  table_ = make_table(std::move(current));
  offer_relaying(now);
  // A path that has just opened is what these waited for.
  for (const auto& [id, peer] : peers_.live()) {
    if (peer->sessions.current()) flush_waiting(*peer, now);
  }
  return table_;
}

}  // namespace eps::node
