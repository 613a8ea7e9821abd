// How large datagrams to a peer may be: mesh::PathMtu is asked on the way in use, and what it knows goes with the
// route. A peer of version 0.1 answers no such question: to it datagrams are as large as the frames, and are fragmented
// by IP.

#include <algorithm>

#include "l2/parse.h"
#include "node/peers.h"

namespace eps::node {
namespace {

// Of a way whose size is not known yet.
constexpr std::size_t kUsualMtu = 1500;

// Traffic that is large pauses between its bursts.
constexpr Duration kLargeFlows = std::chrono::seconds(1);

std::size_t headers_to(const Endpoint& to) {
  return to.ip.is_v4() ? mesh::kIpUdp4 : mesh::kIpUdp6;
}

}  // namespace

bool Peers::sized(const Peer& peer) {
  return peer.sessions.current() && peer.sessions.current()->has(Feature::path_mtu);
}

void Peers::set_sizes(const Peer& peer, dataplane::Peer& route) const {
  if (!sized(peer) || !route.to.valid()) return;
  const Way& way = *peer.path.path();
  const std::size_t headers = headers_to(route.to);
  const std::size_t around = (route.relayed ? wire::kRelayHeaderSize : 0) + wire::kDataHeaderSize + wire::kTagSize;
  const std::size_t datagram = peer.mtu.datagram(way, headers);
  route.max_plain = datagram - around;
  // A connection outlasts the search.
  route.promised_plain = (peer.mtu.settled(way) ? datagram : std::max(datagram, kUsualMtu - headers)) - around;
}

void Peers::probe_size(Peer& peer, Instant now) {
  if (!sized(peer) || !peer.path.path()) return;
  const dataplane::Peer to = route(peer);
  if (!to.ready()) return;
  const std::size_t envelope = to.relayed ? wire::kRelayHeaderSize : 0;
  const std::size_t largest_frame = l2::kEthernetSize + l2::kVlanTagSize + network_->mtu;
  const std::size_t wanted =
      std::min(wire::kRelayHeaderSize + wire::kDataOverhead + largest_frame, ports::kMaxUdpPayload);
  peer.mtu.use(*peer.path.path(), headers_to(to.to), wanted, now);
  const bool large_flows = now - peer.activity->large_at() < kLargeFlows;
  for (const auto& probe : peer.mtu.take_due(large_flows, peer.path.round_trip(), now)) {
    const std::size_t around = envelope + wire::kDataOverhead + mesh::kSizePingSize;
    const std::size_t padding = probe.size - std::min(probe.size, around);
    send_control(peer, mesh::SizePingMessage{probe.id, padding}, probe.way, now);
  }
  dirty_ |= peer.mtu.take_settled();
  if (peer.mtu.take_changed()) {
    peer.path.note("large datagrams do not pass any more", now);
    dirty_ = true;
  }
}

void Peers::on(const mesh::SizePingMessage& ping, Peer& peer, const Arrival& arrival, Instant now) {
  send_control(peer, mesh::SizePongMessage{ping.id}, arrival.way(), now);
}

void Peers::on(const mesh::SizePongMessage& pong, Peer& peer, const Arrival&, Instant now) {
  if (!peer.mtu.on_answer(pong.id, now)) return;
  dirty_ = true;
  const auto packets = peer.path.path() ? peer.mtu.path_mtu(*peer.path.path()) : std::nullopt;
  if (packets) peer.path.note("packets of " + std::to_string(*packets) + " bytes pass", now);
}

}  // namespace eps::node
