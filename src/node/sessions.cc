// SPDX-License-Identifier: MIT
#include "node/sessions.h"

#include <algorithm>
#include <utility>

#include "dataplane/stream_port.h"
#include "noise/number_reply.h"

namespace eps::node {
namespace {

constexpr std::size_t kMaxRetired = 4;
constexpr std::size_t kMaxEarly = 16;

// A separate place for each member: 0100::/64 (RFC 6666) with its number in the upper half, where sources are
// distinguished.
IpAddress origin_of(const dataplane::Arrival& arrival) {
  IpAddress out;
  out.bytes[0] = std::byte{1};
  store_be32(out.bytes.data() + 4, arrival.relayed_from.value);
  return out;
}

}  // namespace

std::vector<Sessions::SessionPtr> Sessions::Record::receiving() const {
  std::vector<SessionPtr> out;
  if (current_) out.push_back(current_);
  if (unconfirmed_) out.push_back(unconfirmed_);
  out.insert(out.end(), retired_.begin(), retired_.end());
  return out;
}

Instant Sessions::Record::next_deadline() const {
  Instant at = handshake_ ? handshake_->retry_at : kNever;
  if (current_) at = std::min(at, current_->established_at() + session::kSendUntil);
  if (unconfirmed_) at = std::min(at, unconfirmed_->established_at() + session::kReceiveUntil);
  for (const SessionPtr& s : retired_) at = std::min(at, s->established_at() + session::kReceiveUntil);
  return at;
}

Sessions::Sessions(const PeersParams& params, Counters& counters, std::vector<std::string>& notes, Rng& rng)
    : params_(params),
      counters_(counters),
      notes_(notes),
      rng_(rng),
      cookie_checker_(params.self.public_key, rng),
      next_number_(params.first_handshake_number) {}

// --- ours ----------------------------------------------------------------------------------------------------------

std::optional<Bytes> Sessions::initiate(Record& record, const Member& peer, int attempt, Instant now) {
  if (!repeats(record, attempt)) {
    end_handshake(record);
    // Initiations to this peer have increasing numbers, whatever it has seen from an earlier run of this node.
    record.least_number_ = std::max(next_number_++, record.least_number_ + 1);
    Bytes noise;
    auto initiator = PeerInitiator::start(params_.self, peer.key, {*network_, mac_, peer.mac}, record.least_number_,
                                          params_.aeads, params_.features, params_.psks.of(peer), rng_, noise);
    if (!initiator) return std::nullopt;
    const std::uint32_t index = new_index(peer.id);
    record.handshake_.emplace(Record::Handshake{.initiator = std::move(*initiator),
                                                .local_index = index,
                                                .number = record.least_number_,
                                                .initiation = wire::make_initiation(index, noise),
                                                .sent = {}});
  }
  Record::Handshake& handshake = *record.handshake_;
  handshake.attempt = attempt;
  handshake.retry_at = now + kHandshakeRetry[std::min(static_cast<std::size_t>(attempt), kHandshakeRetry.size() - 1)];
  handshake.sent = handshake.initiation;
  record.cookies_.append_macs(handshake.sent, now);
  return handshake.sent;
}

void Sessions::give_up(Record& record) {
  end_handshake(record);
  record.given_up_ = true;
}

std::optional<MemberId> Sessions::owner_of(std::uint32_t index) const {
  const auto it = by_index_.find(index);
  return it == by_index_.end() ? std::nullopt : std::optional(it->second);
}

// A pre-shared key mismatch is logged once.
void Sessions::set_mismatch(Record& record, const Member& peer, PskMismatch mismatch) {
  if (std::exchange(record.psk_mismatch_, mismatch) == mismatch) return;
  notes_.push_back("No conduit with " + peer.name + ": " + sentence_of(mismatch, peer.name) + " " +
                   remedy_of(mismatch, peer.name));
}

Sessions::SessionPtr Sessions::finish(Record& record, const Member& peer, const wire::Response& response, Instant now) {
  auto& handshake = record.handshake_;
  // Each copy of an initiation is answered; the first answer to arrive has made the session.
  if (!handshake || handshake->local_index != response.receiver) {
    counters_.drop(Drop::replayed);
    return nullptr;
  }
  auto params = handshake->initiator.finish(response.noise, now);
  // A forged response must not end the handshake, but it has used up the state: start over at the next retry.
  if (!params) {
    handshake->used_up = true;
    if (const PskMismatch mismatch = handshake->initiator.mismatch(); mismatch != PskMismatch::none) {
      set_mismatch(record, peer, mismatch);
      counters_.drop(Drop::other_psk);
    } else {
      counters_.drop(Drop::bad_tag);
    }
    return nullptr;
  }
  params->local_index = response.receiver;
  params->remote_index = response.sender;
  params->rekey_after_packets = params_.rekey_after_packets;
  handshake.reset();  // its index is the session's now
  return std::make_shared<session::Session>(std::move(*params));
}

bool Sessions::take_cookie_reply(Record& record, ByteView datagram, Instant now) {
  return record.handshake_ && record.cookies_.take_reply(datagram, now);
}

bool Sessions::take_number_reply(Record& record, const Member& peer, ByteView datagram, Instant now) {
  auto& handshake = record.handshake_;
  const crypto::Key* key = number_key_of(record, peer);
  const auto number = key ? noise::read_number_reply(*key, handshake->sent, datagram) : std::nullopt;
  if (!number) {
    counters_.drop(Drop::bad_tag);
    return false;
  }
  // Every copy of the initiation is answered, and a peer that names ever greater numbers is not followed faster than
  // an initiation is repeated. The last possible number would leave none for us.
  if (*number < handshake->number || *number == UINT64_MAX) return false;
  if (now - record.number_told_at_ < kHandshakeRetry.front()) return false;
  record.number_told_at_ = now;
  record.least_number_ = *number;
  notes_.push_back(peer.name +
                   " knows a later life of this computer: its state seems to be that of an earlier snapshot or backup. "
                   "Beginning anew with it.");
  set_back_by_ = peer.name;
  set_back_at_ = now;
  handshake->used_up = true;
  return true;
}

std::optional<LanFinding> Sessions::set_back(Instant now) const {
  if (set_back_by_.empty()) return std::nullopt;
  return LanFinding{
      "The state of this computer is that of an earlier snapshot or backup: " + set_back_by_ +
          " knows a later life of it. They began anew with each other.",
      "If it was restored, there is nothing to do. If it was copied, the copy needs a state directory of its own: eps "
      "doctor on the server names computers that exist twice.",
      now - set_back_at_};
}

// --- the peers' ----------------------------------------------------------------------------------------------------

// Whether an initiation is worth the cost of reading it. A relay has authenticated its origins, unless it was taken
// over: origins are counted separately, and must prove themselves like anybody else when there are many.
bool Sessions::may_begin(const Arrival& arrival, ByteView datagram, std::uint32_t sender, Bytes& reply, Instant now) {
  const Endpoint source = arrival.relayed() ? dataplane::stream_endpoint(arrival.relayed_from) : arrival.from;
  if (arrival.relayed() && !initiation_limit_.admit(origin_of(arrival), now)) return false;
  if (!initiation_limit_.under_load(arrival.relayed(), now)) return true;
  if (!cookie_checker_.mac2_ok(datagram, source, now)) {
    if (arrival.relayed() || initiation_limit_.offers_cookie(arrival.from.ip, now)) {
      reply = cookie_checker_.make_reply(datagram, sender, source, now);
    }
    return false;
  }
  return arrival.relayed() || initiation_limit_.admit(arrival.from.ip, now);
}

Sessions::Read Sessions::read_initiation(const Arrival& arrival, ByteView datagram, Instant now) {
  Read out;
  const auto initiation = wire::parse_initiation(datagram);
  if (!network_ || !initiation || !cookie_checker_.mac1_ok(datagram)) {
    counters_.drop(Drop::malformed);
    return out;
  }
  if (!may_begin(arrival, datagram, initiation->sender, out.reply, now)) {
    counters_.drop(Drop::rate_limited);
    return out;
  }
  PeerResponder responder(params_.self, *network_, rng_);
  auto request = responder.read(initiation->noise);
  if (request) {
    out.initiation.emplace(Initiation{std::move(responder), std::move(*request), initiation->sender});
  } else {
    counters_.drop(Drop::bad_tag);
  }
  return out;
}

Sessions::Answer Sessions::answer(Record& record, const Member& peer, Initiation& initiation, ByteView datagram,
                                  Instant now) {
  const auto refused = [&](Drop reason) {
    counters_.drop(reason);
    return Answer{};
  };
  const PeerResponder::Request& request = initiation.request;
  const Duration pause = Duration(std::chrono::seconds(1)) / kPeerRate;
  if (!record.answered_.take(now, pause, std::chrono::seconds(1))) return refused(Drop::rate_limited);
  if (request.number <= record.last_number_) {
    // Another copy of the newest one, which took another path or was repeated.
    const bool again = request.number == record.last_number_ && record.unconfirmed_ &&
                       record.unconfirmed_->remote_index() == initiation.sender;
    if (again) return {respond(record, now)};
    counters_.drop(Drop::replayed);
    return {refuse_number(record, peer, datagram, initiation.sender)};
  }
  if (request.initiator_mac != peer.mac || request.responder_mac != mac_) return refused(Drop::malformed);
  // Nothing is remembered about it: a copy is refused like the original.
  if (const PskMismatch mismatch = initiation.responder.mismatch(params_.psks.of(peer));
      mismatch != PskMismatch::none) {
    set_mismatch(record, peer, mismatch);
    counters_.drop(Drop::other_psk);
    Bytes noise;
    if (!initiation.responder.refuse(mismatch, params_.features, noise)) return {};
    Bytes refusal = wire::make_response(0, initiation.sender, noise);
    record.cookies_.append_macs(refusal, now);
    return {std::move(refusal)};
  }
  const auto aead = std::ranges::find_if(
      params_.aeads, [&](crypto::AeadKind kind) { return std::ranges::count(request.offer, kind) > 0; });
  if (aead == params_.aeads.end()) {
    notes_.push_back("No conduit with " + peer.name +
                     ": the two computers have no cipher in common; start both with --aead auto.");
    return {};
  }
  record.last_number_ = request.number;
  Bytes noise;
  auto params = initiation.responder.answer(*aead, params_.features, params_.psks.of(peer), now, noise);
  if (!params) return refused(Drop::bad_tag);
  params->local_index = new_index(peer.id);
  params->remote_index = initiation.sender;
  params->rekey_after_packets = params_.rekey_after_packets;
  erase(record.unconfirmed_);
  const std::uint32_t local_index = params->local_index;
  record.unconfirmed_ = std::make_shared<session::Session>(std::move(*params));
  record.response_ = wire::make_response(local_index, initiation.sender, noise);
  return {respond(record, now), true};
}

Bytes Sessions::respond(Record& record, Instant now) const {
  Bytes response = record.response_;
  record.cookies_.append_macs(response, now);
  return response;
}

// A replay, or the peer counts from an old number because its state was restored: in that case it starts over.
Bytes Sessions::refuse_number(Record& record, const Member& peer, ByteView datagram, std::uint32_t sender) {
  // A copy overtaken by another one of the same initiation needs no answer.
  const auto made = [&](const SessionPtr& s) { return s->remote_index() == sender; };
  if (std::ranges::any_of(record.receiving(), made)) return {};
  const crypto::Key* key = number_key_of(record, peer);
  return key ? noise::make_number_reply(*key, datagram, sender, record.last_number_, rng_) : Bytes{};
}

const crypto::Key* Sessions::number_key_of(Record& record, const Member& peer) const {
  if (!record.number_key_) record.number_key_ = noise::number_reply_key(params_.self, peer.key, network_->bytes);
  return record.number_key_ ? &*record.number_key_ : nullptr;
}

void Sessions::keep_for_later(const Arrival& arrival, ByteView datagram, Instant now) {
  if (early_.size() >= kMaxEarly) return counters_.drop(Drop::no_peer);
  early_.push_back({arrival, Bytes(datagram.begin(), datagram.end()), now});
}

std::vector<Sessions::Early> Sessions::take_early(Instant now) {
  std::vector<Early> out = std::exchange(early_, {});
  const auto old = std::erase_if(out, [&](const Early& e) { return now - e.since > kHandshakeRetry.front(); });
  counters_.drop(Drop::no_peer, old);
  return out;
}

// --- their life ----------------------------------------------------------------------------------------------------

Sessions::SessionPtr Sessions::confirm(Record& record, std::uint32_t local_index) {
  if (!record.unconfirmed_ || record.unconfirmed_->local_index() != local_index) return nullptr;
  return std::exchange(record.unconfirmed_, nullptr);
}

bool Sessions::install(Record& record, SessionPtr session, Instant now) {
  if (record.current_) {
    record.retired_.push_back(std::move(record.current_));
    if (record.retired_.size() > kMaxRetired) {
      erase(record.retired_.front());
      record.retired_.erase(record.retired_.begin());
    }
  }
  record.current_ = std::move(session);
  record.began_ = now;
  record.given_up_ = false;
  record.psk_mismatch_ = PskMismatch::none;
  return record.retired_.empty();
}

bool Sessions::expire(Record& record, Instant now) {
  const auto gone = [&](const SessionPtr& s) {
    if (!s || s->may_receive(now)) return false;
    erase(s);
    return true;
  };
  std::erase_if(record.retired_, gone);
  if (gone(record.unconfirmed_)) record.unconfirmed_.reset();
  if (!record.current_ || record.current_->may_send(now)) return false;
  if (!gone(record.current_)) record.retired_.push_back(record.current_);
  record.current_.reset();
  return true;
}

void Sessions::end(Record& record) {
  for (const SessionPtr& s : record.receiving()) erase(s);
  end_handshake(record);
  record.current_.reset();
  record.unconfirmed_.reset();
  record.retired_.clear();
}

std::uint32_t Sessions::new_index(MemberId peer) {
  for (;;) {
    const auto index = static_cast<std::uint32_t>(rng_.below(wire::kMaxIndex + 1ULL));
    if (by_index_.try_emplace(index, peer).second) return index;
  }
}

void Sessions::erase(const SessionPtr& session) {
  if (session) by_index_.erase(session->local_index());
}

void Sessions::end_handshake(Record& record) {
  if (record.handshake_) by_index_.erase(record.handshake_->local_index);
  record.handshake_.reset();
}

}  // namespace eps::node
