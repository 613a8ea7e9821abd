// SPDX-License-Identifier: MIT

// Relaying as node::Peers sees it: who relays for this node, and for whom it relays.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {

// Something changed that decides who may relay.
void Peers::refresh_relays(Instant now) {
  for (const auto& [id, peer] : peers_.live()) {
    peers_.touch(*peer);
    peer->path.set_relays(relays_.usable_for(*peer), now);
  }
}

void Peers::offer_relaying(Instant now) {
  for (const auto& [id, peer] : peers_.live()) {
    if (const auto tag = relays_.take_offer(*peer)) sender_.send(*peer, mesh::OfferMessage{*tag}, now);
  }
}

void Peers::on(const mesh::OfferMessage& offer, Peer& peer, const Arrival&, Instant now) {
  if (relays_.on_offer(peer, offer.tag)) refresh_relays(now);
}

// The peer cannot be reached directly: open sessions to members that relay, which then send their offers.
void Peers::seek_relays(const Peer& peer, Instant now) {
  for (const MemberId id : relays_.to_seek(peer.member.id)) {
    Peer* other = find(id, now);
    if (!other->sessions.pending() && relays_.lacks_offer(*other, now)) start_handshake(*other, now);
  }
}

void Peers::on(dataplane::RelayWanted& wanted, Instant now) {
  Peer* peer = find(wanted.to, now);
  if (peer == nullptr || peer->sessions.pending() || now - peer->last_unknown_session < std::chrono::seconds(1)) return;
  peer->last_unknown_session = now;
  if (!peer->sessions.current()) {
    start_handshake(*peer, now);
  } else if (!peer->path.direct()) {
    peer->path.begin(now);
  }
}

void Peers::on(dataplane::RelayLimited& limited, Instant now) {
  const Member* from = member(limited.from);
  if (from != nullptr) lan_.on(relays_.quotas().begin(limited.from, now), *from, relays_.quotas().limit(), now);
}

void Peers::tell_relay_limit(Instant now) {
  for (const RelayQuotas::Excess& excess : relays_.quotas().take_due(now)) {
    if (const Member* from = member(excess.member)) lan_.on(excess, *from, relays_.quotas().limit(), now);
  }
}

}  // namespace eps::node
