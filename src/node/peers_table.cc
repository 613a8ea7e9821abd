// What node::Peers keeps count of: sessions by their index, peers by their key, and the snapshot for the data plane.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {

void Peers::forget_sessions(Peer& peer) {
  if (peer.current) erase_index(peer.current->local_index());
  if (peer.unconfirmed) erase_index(peer.unconfirmed->local_index());
  for (const auto& session : peer.retired) erase_index(session->local_index());
  if (peer.handshake) erase_index(peer.handshake->local_index);
  peer.current.reset();
  peer.unconfirmed.reset();
  peer.retired.clear();
  peer.handshake.reset();
  peer.path.reset();
  dirty_ = true;
}

std::uint32_t Peers::new_index(MemberId peer) {
  for (;;) {
    const auto index = static_cast<std::uint32_t>(rng_.below(wire::kMaxIndex + 1ULL));
    if (by_index_.try_emplace(index, peer).second) return index;
  }
}

Peer* Peers::find(MemberId id) {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

Peer* Peers::find_key(const PublicKey& key) {
  for (auto& [id, peer] : peers_) {
    if (peer.member.key == key) return &peer;
  }
  return nullptr;
}

Peer* Peers::find_index(std::uint32_t index) {
  const auto it = by_index_.find(index);
  return it == by_index_.end() ? nullptr : find(it->second);
}

// What may be tried: no address inside the EPS network itself, which would send the tunnel through the tunnel.
std::vector<Candidate> Peers::usable_candidates(const Member& member) const {
  std::vector<Candidate> out;
  for (const Candidate& c : member.candidates) {
    const bool inside = network_ && c.endpoint.ip.is_v4() && network_->network.contains(c.endpoint.ip.v4());
    if (!inside && c.endpoint.valid() && !c.endpoint.ip.is_loopback()) out.push_back(c);
  }
  return out;
}

dataplane::Peer Peers::route(const Peer& peer) const {
  dataplane::Peer out;
  out.id = peer.member.id;
  out.mac = peer.member.mac;
  out.address = peer.member.address;
  out.session = peer.current;
  out.activity = peer.activity;
  if (peer.path.direct()) {
    out.to = *peer.path.direct();
  } else if (relay_usable_) {
    out.to = relay_;
    out.relayed = true;
    out.envelope = {peer.member.id, relay_tag_};
  }
  return out;
}

void Peers::publish_if_dirty(Instant now) {
  if (!dirty_ || !network_) return;
  dirty_ = false;
  auto table = std::make_shared<dataplane::PeerTable>();
  table->self_mac = self_.mac;
  table->self_address = self_.address;
  table->mtu = network_->mtu;
  table->relay = relay_;
  table->relay_tag = relay_tag_;
  for (const auto& [id, peer] : peers_) {
    const bool reachable = peer.member.online || peer.current || peer.unconfirmed || !peer.retired.empty();
    if (!reachable) continue;
    const auto at = static_cast<std::uint32_t>(table->peers.size());
    table->peers.push_back(route(peer));
    table->by_mac.emplace(peer.member.mac, at);
    const auto receive = [&](const std::shared_ptr<session::Session>& s) {
      if (s) table->by_index.insert_or_assign(s->local_index(), dataplane::PeerTable::Receiving{s, at});
    };
    receive(peer.current);
    receive(peer.unconfirmed);
    std::for_each(peer.retired.begin(), peer.retired.end(), receive);
  }
  published_.publish(std::move(table));
  // A way that has just opened is what these waited for.
  for (auto& [id, peer] : peers_) {
    if (!peer.waiting.empty() && peer.current) flush_waiting(peer, now);
  }
}

std::vector<PeerStatus> Peers::status(Instant now) const {
  std::vector<PeerStatus> out;
  for (const auto& [id, peer] : peers_) {
    PeerStatus s;
    s.member = peer.member;
    const dataplane::Peer to = route(peer);
    if (to.ready() && peer.current->may_send(now)) {
      s.path = to.relayed ? PathKind::relayed : PathKind::direct;
      s.endpoint = to.to;
      s.since_handshake = now - peer.current->established_at();
      s.round_trip = to.relayed ? peer.relay_round_trip : peer.path.round_trip();
      s.aead = crypto::name_of(peer.current->aead());
      s.aead_library = crypto::name_of(peer.current->library());
    }
    s.traffic = totals_of(peer.activity->counters);
    out.push_back(std::move(s));
  }
  return out;
}

}  // namespace eps::node
