// Who relays for whom. The server does for everybody; a member that was started with --relay offers it to each peer
// that it has a session with, and serves those that it reaches directly.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {
namespace {
constexpr Duration kOfferAgain = std::chrono::seconds(5);
}  // namespace

std::optional<dataplane::RelayHop> Peers::hop_of(MemberId relay) const {
  if (relay == kServerRelay) {
    if (!server_relays()) return std::nullopt;
    return server_by_ == ServerRelay::udp ? server_ : server_inside_;
  }
  const auto it = peers_.find(relay);
  if (it == peers_.end()) return std::nullopt;
  const Peer& peer = it->second;
  if (peer.tag_from_peer == 0 || !peer.current || !peer.path.direct()) return std::nullopt;
  const Way& way = *peer.path.path();
  return dataplane::RelayHop{relay, way.to, way.socket, peer.tag_from_peer};
}

std::vector<MemberId> Peers::usable_relays(const Peer& peer) const {
  std::vector<MemberId> out;
  // Whom it does not know to be there it relays to in vain.
  if (server_relays() && peer.member.online) out.push_back(kServerRelay);
  for (const auto& [id, other] : offering_) {
    if (out.size() > kMaxMemberRelays) break;
    if (id != peer.member.id && hop_of(id)) out.push_back(id);
  }
  return out;
}

// Something changed that decides who may relay.
void Peers::refresh_relays(Instant now) {
  for (const auto& [id, peer] : live_) {
    touch(*peer);
    if (peer->path.set_relays(usable_relays(*peer), now)) dirty_ = true;
  }
}

// To each peer that serves() has an entry for, once that is published: at its first direct path in a session, and again
// when the path changes, as the one before may have been lost with the path.
void Peers::offer_relaying(Instant now) {
  if (!params_.relay_for_others) return;
  for (const auto& [id, peer] : live_) {
    if (!peer->current || !peer->path.direct() || peer->offered_by == peer->path.path()) continue;
    peer->offered_by = peer->path.path();
    send_control(*peer, mesh::OfferMessage{peer->tag_for_peer}, now);
  }
}

void Peers::on(const mesh::OfferMessage& offer, Peer& peer, const Arrival&, Instant now) {
  if (peer.tag_from_peer == offer.tag) return;
  peer.tag_from_peer = offer.tag;
  if (offer.tag != 0) offering_.emplace(peer.member.id, &peer);
  dirty_ = true;
  refresh_relays(now);
}

// The peer cannot be reached directly: get sessions with members that relay, whose offers then come.
void Peers::seek_relays(Peer& peer, Instant now) {
  std::size_t asked = 0;
  for (const auto& [id, other] : relaying_) {
    if (id == peer.member.id) continue;
    if (++asked > kMaxMemberRelays) return;
    // A new session brings the offer again, if the one that came with this was lost.
    const bool missing = other->tag_from_peer == 0 && other->path.direct() && now - other->session_began > kOfferAgain;
    if (!other->handshake && (!other->current || missing)) start_handshake(*other, now);
  }
}

void Peers::on(dataplane::RelayWanted& wanted, Instant now) {
  Peer* peer = find(wanted.to);
  if (peer == nullptr || peer->handshake || now - peer->last_unknown_session < std::chrono::seconds(1)) return;
  peer->last_unknown_session = now;
  if (!peer->current) {
    start_handshake(*peer, now);
  } else if (!peer->path.direct()) {
    peer->path.begin(now);
  }
}

std::shared_ptr<const dataplane::RelayTable> Peers::serves() const {
  if (!params_.relay_for_others) return nullptr;
  auto table = std::make_shared<dataplane::RelayTable>();
  for (const auto& [id, at] : live_) {
    const Peer& peer = *at;
    if (peer.tag_for_peer == 0 || !peer.current || !peer.path.direct()) continue;
    const Way& way = *peer.path.path();
    table->put({id, peer.tag_for_peer, way.to, way.socket, peer.relayed});
  }
  return table;
}

}  // namespace eps::node
