// The handshakes of node::Peers: from the first initiation to an installed session.
//
//   initiator                                    responder
//   start_handshake, send_initiation  ------->   on_initiation: session `unconfirmed`
//   on_response: install as `current` <-------   response, by the way the initiation came
//   waiting frames, probes            ------->   first one opens: confirm(): install as `current`
//
// An initiation leaves by every way at once (relay and all candidates), and again after a while. Until the session is
// confirmed every copy is answered with the same response, by the way it came: the way back may be barred where the way
// there is not, and a repetition must not make worthless what is still on its way.

#include <algorithm>

#include "dataplane/stream_port.h"
#include "node/peers.h"
#include "noise/number_reply.h"
#include "wire/datagram.h"

namespace eps::node {
namespace {
constexpr std::size_t kMaxRetired = 4;
constexpr std::size_t kMaxEarly = 16;

// A place of its own for each member: 0100::/64 (RFC 6666) with its number in the upper half, where sources are told
// apart.
IpAddress origin_of(const dataplane::Arrival& arrival) {
  IpAddress out;
  out.bytes[0] = std::byte{1};
  store_be32(out.bytes.data() + 4, arrival.relayed_from.value);
  return out;
}
}  // namespace

void Peers::start_handshake(Peer& peer, Instant now) {
  if (!network_ || self_.id.value == 0) return;
  wanted_.push_back(peer.member.id);
  send_initiation(peer, 0, now);
}

void Peers::send_initiation(Peer& peer, int attempt, Instant now) {
  const auto pause =
      kHandshakeRetry[std::min<std::size_t>(static_cast<std::size_t>(attempt), kHandshakeRetry.size() - 1)];
  const bool again = peer.handshake && !peer.handshake->used_up && attempt % kFreshInitiation != 0;
  touch(peer);
  if (!again) {
    // Nobody has kept these while the peer was silent.
    if (peer.path.set_relays(relays_.usable_for(peer), now)) dirty_ = true;
    if (peer.handshake) erase_index(peer.handshake->local_index);
    peer.handshake.reset();
    Bytes noise;
    const std::uint64_t number = take_number(peer);
    auto initiator = PeerInitiator::start(params_.self, peer.member.key, {network_->id, self_.mac, peer.member.mac},
                                          number, params_.aeads, params_.features, rng_, noise);
    if (!initiator) return waiting_.drop(peer.waiting, Drop::no_peer);
    const std::uint32_t index = new_index(peer.member.id);
    peer.handshake = PendingHandshake{std::move(*initiator), index, number, wire::make_initiation(index, noise), {}};
  }
  peer.handshake->attempt = attempt;
  peer.handshake->retry_at = now + pause;
  Bytes datagram = peer.handshake->initiation;
  peer.cookies.append_macs(datagram, now);
  peer.handshake->sent = datagram;
  // A rekey goes along the path in use; only when that does not answer, every way is tried.
  const bool rekey = attempt == 0 && peer.current && peer.path.direct();
  send_unsealed(peer, datagram, rekey ? Spread::best : Spread::every);
  if (!rekey && !relays_.server_relays()) {
    ask_others_for(peer, now);
    seek_relays(peer, now);
  }
}

// Whether an initiation may cost what reading it costs. A relay has authenticated whom it relays for, unless it was
// taken over: its origins are told apart, and prove themselves like everybody else when they are many.
bool Peers::may_begin(const Arrival& arrival, ByteView datagram, std::uint32_t sender, Instant now) {
  const Endpoint source = arrival.relayed() ? dataplane::stream_endpoint(arrival.relayed_from) : arrival.from;
  if (arrival.relayed() && !initiation_limit_.admit(origin_of(arrival), now)) return false;
  if (!initiation_limit_.under_load(arrival.relayed(), now)) return true;
  if (!cookie_checker_.mac2_ok(datagram, source, now)) {
    answer_initiation(arrival, cookie_checker_.make_reply(datagram, sender, source, now));
    return false;
  }
  return arrival.relayed() || initiation_limit_.admit(arrival.from.ip, now);
}

void Peers::on_initiation(const Arrival& arrival, ByteView datagram, Instant now) {
  const auto initiation = wire::parse_initiation(datagram);
  if (!network_ || !initiation || !cookie_checker_.mac1_ok(datagram)) return counters_.drop(Drop::malformed);
  if (!may_begin(arrival, datagram, initiation->sender, now)) return counters_.drop(Drop::rate_limited);
  PeerResponder responder(params_.self, network_->id, rng_);
  const auto request = responder.read(initiation->noise);
  if (!request) return counters_.drop(Drop::bad_tag);
  Peer* peer = find_key(request->initiator);
  if (peer == nullptr) return keep_for_later(arrival, datagram, now);
  const Duration pause = Duration(std::chrono::seconds(1)) / kPeerRate;
  if (!peer->answered.take(now, pause, std::chrono::seconds(1))) return counters_.drop(Drop::rate_limited);
  if (request->number <= peer->last_number) {
    // Another copy of the newest one, which came by another way or was sent again.
    const bool again = request->number == peer->last_number && peer->unconfirmed &&
                       peer->unconfirmed->remote_index() == initiation->sender;
    if (again) return respond(*peer, arrival, now);
    counters_.drop(Drop::replayed);
    return refuse_number(*peer, arrival, datagram, initiation->sender);
  }
  if (request->initiator_mac != peer->member.mac || request->responder_mac != self_.mac) {
    return counters_.drop(Drop::malformed);
  }
  const auto aead = std::find_if(params_.aeads.begin(), params_.aeads.end(), [&](crypto::AeadKind kind) {
    return std::find(request->offer.begin(), request->offer.end(), kind) != request->offer.end();
  });
  if (aead == params_.aeads.end()) {
    notes_.push_back("No conduit with " + peer->member.name +
                     ": the two computers have no cipher in common; start both with --aead auto.");
    return;
  }
  peer->last_number = request->number;
  if (peer->path.set_relays(relays_.usable_for(*peer), now)) dirty_ = true;
  Bytes noise;
  auto params = responder.answer(*aead, params_.features, now, noise);
  if (!params) return counters_.drop(Drop::bad_tag);
  params->local_index = new_index(peer->member.id);
  params->remote_index = initiation->sender;
  params->rekey_after_packets = params_.rekey_after_packets;
  if (peer->unconfirmed) erase_index(peer->unconfirmed->local_index());
  const std::uint32_t local_index = params->local_index;
  peer->unconfirmed = std::make_shared<session::Session>(std::move(*params));
  dirty_ = true;
  peer->response = wire::make_response(local_index, initiation->sender, noise);
  respond(*peer, arrival, now);
}

// Who has just joined may be told of us before we are told of it.
void Peers::keep_for_later(const Arrival& arrival, ByteView datagram, Instant now) {
  if (early_.size() >= kMaxEarly) return counters_.drop(Drop::no_peer);
  early_.push_back({arrival, Bytes(datagram.begin(), datagram.end()), now});
}

// There are new members.
void Peers::take_early(Instant now) {
  for (const EarlyInitiation& early : std::exchange(early_, {})) {
    if (now - early.since > kHandshakeRetry.front()) {
      counters_.drop(Drop::no_peer);
    } else {
      on_initiation(early.arrival, early.datagram, now);
    }
  }
}

void Peers::respond(Peer& peer, const Arrival& arrival, Instant now) {
  Bytes response = peer.response;
  peer.cookies.append_macs(response, now);
  answer_initiation(arrival, response);
}

// By the way the initiation came.
void Peers::answer_initiation(const Arrival& arrival, ByteView response) {
  Bytes whole;
  if (arrival.relayed()) {
    const auto hop = relays_.hop_of(arrival.relay);
    if (!hop) return;
    whole.resize(wire::kRelayHeaderSize);
    wire::put_relay_header(whole.data(), {arrival.relayed_from, hop->tag});
  }
  whole.insert(whole.end(), response.begin(), response.end());
  out_.send({arrival.from, whole, 0, arrival.socket});
}

void Peers::on_response(const Arrival& arrival, ByteView datagram, Instant now) {
  const auto response = wire::parse_response(datagram);
  if (!response || !cookie_checker_.mac1_ok(datagram)) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(response->receiver);
  if (peer == nullptr) return counters_.drop(Drop::unknown_session);
  // Each copy of an initiation is answered; the first answer to come has made the session.
  if (!peer->handshake || peer->handshake->local_index != response->receiver) return counters_.drop(Drop::replayed);
  auto params = peer->handshake->initiator.finish(response->noise, now);
  // A forged response must not end the handshake, but it has used up the state: begin anew at the next retry.
  if (!params) {
    peer->handshake->used_up = true;
    return counters_.drop(Drop::bad_tag);
  }
  params->local_index = response->receiver;
  params->remote_index = response->sender;
  params->rekey_after_packets = params_.rekey_after_packets;
  peer->handshake.reset();
  if (!arrival.relayed() && peer->path.adopt(arrival.way(), std::nullopt, now)) dirty_ = true;
  install(*peer, std::make_shared<session::Session>(std::move(*params)), now);
}

void Peers::on_cookie_reply(ByteView datagram, Instant now) {
  if (datagram.size() < 4) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(load_be24(datagram.data() + 1));
  if (peer == nullptr || !peer->handshake || !peer->cookies.take_reply(datagram, now)) {
    return counters_.drop(Drop::bad_tag);
  }
  send_initiation(*peer, peer->handshake->attempt, now);
}

// Initiations to this peer have growing numbers, whatever it has seen of an earlier life of this node.
std::uint64_t Peers::take_number(Peer& peer) {
  peer.least_number = std::max(next_number_++, peer.least_number + 1);
  return peer.least_number;
}

const crypto::Key* Peers::number_key_of(Peer& peer) {
  if (!peer.number_key) peer.number_key = noise::number_reply_key(params_.self, peer.member.key, network_->id.bytes);
  return peer.number_key ? &*peer.number_key : nullptr;
}

// A replay, or the peer counts from an old number because its state was restored: in that case it begins anew.
void Peers::refuse_number(Peer& peer, const Arrival& arrival, ByteView datagram, std::uint32_t sender) {
  // A copy that was overtaken by another one of the same initiation needs no answer.
  const auto made = [&](const std::shared_ptr<session::Session>& s) { return s && s->remote_index() == sender; };
  if (made(peer.current) || made(peer.unconfirmed) || std::ranges::any_of(peer.retired, made)) return;
  const crypto::Key* key = number_key_of(peer);
  if (key == nullptr) return;
  answer_initiation(arrival, noise::make_number_reply(*key, datagram, sender, peer.last_number, rng_));
}

void Peers::on_number_reply(ByteView datagram, Instant now) {
  if (datagram.size() < 4 || !network_) return counters_.drop(Drop::malformed);
  Peer* peer = find_index(load_be24(datagram.data() + 1));
  if (peer == nullptr || !peer->handshake) return counters_.drop(Drop::unknown_session);
  const crypto::Key* key = number_key_of(*peer);
  const auto number = key ? noise::read_number_reply(*key, peer->handshake->sent, datagram) : std::nullopt;
  if (!number) return counters_.drop(Drop::bad_tag);
  // Every copy of the initiation is answered, and a peer that names ever greater numbers is not followed faster than
  // an initiation is repeated. The last number of all would leave none for us.
  if (*number < peer->handshake->number || *number == UINT64_MAX) return;
  if (now - peer->number_told_at < kHandshakeRetry.front()) return;
  peer->number_told_at = now;
  peer->least_number = *number;
  notes_.push_back(peer->member.name +
                   " knows a later life of this computer: its state seems to be that of an earlier snapshot or backup. "
                   "Beginning anew with it.");
  peer->handshake->used_up = true;
  send_initiation(*peer, 0, now);
}

// The initiator uses the session that it was answered with.
void Peers::confirm(Peer& peer, std::uint32_t local_index, Instant now) {
  if (!peer.unconfirmed || peer.unconfirmed->local_index() != local_index) return;
  install(peer, std::exchange(peer.unconfirmed, nullptr), now);
}

// Makes `session` the one to seal with. The one before goes on opening what is in flight.
void Peers::install(Peer& peer, std::shared_ptr<session::Session> session, Instant now) {
  if (peer.current) {
    peer.retired.push_back(std::move(peer.current));
    if (peer.retired.size() > kMaxRetired) {
      erase_index(peer.retired.front()->local_index());
      peer.retired.erase(peer.retired.begin());
    }
  }
  const bool first = peer.retired.empty();
  if (first) wanted_.push_back(peer.member.id);
  peer.current = std::move(session);
  peer.control_elsewhere = 0;
  peer.given_up = false;
  relays_.on_session(peer);
  peer.session_began = now;
  peer.tick_at = std::min(peer.tick_at, now + kTick);
  dirty_ = true;
  flush_waiting(peer, now);
  // The peer may seal nothing before it has opened something of ours.
  if (peer.current->initiator()) peer.path.ask(now);
  if (first || !peer.path.direct()) peer.path.begin(now);
  probe(peer, now);
  refresh_relays(now);
}

}  // namespace eps::node
