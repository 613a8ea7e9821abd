// SPDX-License-Identifier: MIT
#include "node/sender.h"

#include <variant>

#include "node/peer.h"
#include "wire/datagram.h"

namespace eps::node {

// Where to send by this path; nullopt while its relay cannot be used.
std::optional<dataplane::RelayHop> Sender::hop_by(const Way& way) const {
  if (!way.direct()) return relays_.hop_of(*way.relay);
  return dataplane::RelayHop{{}, way.to, way.socket, 0};
}

// `hop` leads to a member by `way`; for a relay the datagram goes into an envelope.
void Sender::put(MemberId to, const Way& way, const dataplane::RelayHop& hop, ByteView datagram, bool whole) {
  Bytes enveloped;
  if (!way.direct()) {
    enveloped.resize(wire::kRelayHeaderSize);
    wire::put_relay_header(enveloped.data(), {to, hop.tag});
    enveloped.insert(enveloped.end(), datagram.begin(), datagram.end());
    datagram = enveloped;
  }
  ports::TxDatagram out{hop.endpoint, datagram, 0, hop.socket};
  out.whole = whole;
  out_.send(out);
}

void Sender::send_handshake(const Peer& peer, ByteView datagram, Spread spread) {
  const auto add = [&](const Way& way) {
    if (const auto hop = hop_by(way)) put(peer.member.id, way, *hop, datagram);
  };
  const auto& path = peer.path.path();
  if (path) add(*path);
  if (path && spread == Spread::best) return;
  for (const MemberId relay : relays_.usable_for(peer)) {
    if (path != Way::through(relay)) add(Way::through(relay));
  }
  for (const Candidate& c : paths_.usable(peer)) {
    if (path != Way::straight(c.endpoint)) add(Way::straight(c.endpoint));
    const Way by_other = Way::straight(c.endpoint, relays_.socket());
    if (relays_.socket() != 0 && path != by_other) add(by_other);
  }
}

void Sender::answer(const dataplane::Arrival& arrival, ByteView reply) {
  const Way way = arrival.way();
  const auto hop = hop_by(way);
  if (reply.empty() || !hop) return;
  // From the relay's source endpoint, which may be another of its endpoints than the one in use.
  put(arrival.relayed_from, way, {arrival.relay, arrival.from, arrival.socket, hop->tag}, reply);
}

void Sender::send(Peer& peer, const mesh::PathMessage& message, Instant now) {
  if (peer.path.path()) send(peer, message, *peer.path.path(), now);
}

void Sender::send(Peer& peer, const mesh::PathMessage& message, const Way& way, Instant now) {
  const auto hop = hop_by(way);
  if (!peer.sessions.current() || !hop) return;
  const Bytes body = mesh::encode(message);
  Bytes datagram(wire::kDataOverhead + body.size());
  const std::byte kind = static_cast<std::byte>(wire::Kind::control);
  const session::Seal seal{{&kind, 1}, body, datagram.data()};
  if (!peer.sessions.current()->seal({&seal, 1}, now)) return;
  put(peer.member.id, way, *hop, datagram, std::holds_alternative<mesh::SizePingMessage>(message));
  paths_.on_sent(peer, way);
}

void Sender::send(Peer& peer, const std::vector<Paths::Outgoing>& messages, Instant now) {
  for (const Paths::Outgoing& m : messages) send(peer, m.message, m.way, now);
}

}  // namespace eps::node
