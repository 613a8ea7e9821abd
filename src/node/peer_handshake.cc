// SPDX-License-Identifier: MIT
#include "node/peer_handshake.h"

#include <algorithm>
#include <array>

namespace eps::node {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kPurposePeer = 3;
constexpr std::size_t kMaxOffer = 8;
constexpr std::uint8_t kRefused = 0;  // in place of the kind of AEAD

Bytes prologue_for(const NetworkId& network) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps peer 1"));
  w.bytes(network.bytes);
  return out;
}

crypto::Key transport_key(const crypto::Key& noise_key, crypto::AeadKind aead, std::uint8_t direction) {
  const std::array tail = {std::byte{kVersion}, static_cast<std::byte>(aead), std::byte{direction}};
  const crypto::Hash key = crypto::hmac_blake2s(noise_key.view(), {as_view("eps data key"), tail});
  return crypto::Key(std::span<const std::byte, 32>(key));
}

session::SessionParams params_of(const noise::TransportKeys& keys, crypto::AeadKind aead, Features common,
                                 bool initiator, Instant now) {
  session::SessionParams params;
  params.features = common;
  params.aead = aead;
  params.initiator = initiator;
  params.established_at = now;
  crypto::Key forth = transport_key(keys.initiator_to_responder, aead, 1);
  crypto::Key back = transport_key(keys.responder_to_initiator, aead, 2);
  if (!initiator) std::swap(forth, back);
  params.send_key = std::move(forth);
  params.receive_key = std::move(back);
  return params;
}

// Version 0.1 sends none. Bytes after them belong to fields of a later version.
Features read_features(Reader& in) {
  const std::uint32_t bits = in.u32();
  return in.ok() ? Features(bits) : Features();
}

// The psk2 of members without a pre-shared key, and of refusals.
const crypto::Key& no_psk() {
  static const crypto::Key zero;
  return zero;
}

std::uint64_t psk_check(const std::optional<crypto::Key>& psk, const NetworkId& network, const PublicKey& initiator,
                        const PublicKey& responder) {
  if (!psk) return 0;
  const crypto::Hash check =
      crypto::hmac_blake2s(psk->view(), {as_view("eps psk check"), network.bytes, initiator.bytes, responder.bytes});
  Reader in(check);
  return std::max<std::uint64_t>(in.u64(), 1);
}

}  // namespace

std::optional<PeerInitiator> PeerInitiator::start(const crypto::KeyPair& self, const PublicKey& peer,
                                                  const PeerBinding& binding, std::uint64_t number,
                                                  const std::vector<crypto::AeadKind>& offer, Features features,
                                                  const std::optional<crypto::Key>& psk, Rng& rng, Bytes& message) {
  PeerInitiator out(noise::Initiator(self, peer, prologue_for(binding.network), rng));
  out.offer_ = offer;
  out.features_ = features;
  if (psk) out.psk_ = psk->clone();
  Bytes payload;
  Writer w(payload);
  w.u8(kVersion);
  w.u8(kPurposePeer);
  w.u64(number);
  w.bytes(binding.self.bytes);
  w.bytes(binding.peer.bytes);
  w.u8(static_cast<std::uint8_t>(offer.size()));
  for (const crypto::AeadKind kind : offer) w.u8(static_cast<std::uint8_t>(kind));
  w.u32(features.bits());
  if (psk) w.u64(psk_check(psk, binding.network, self.public_key, peer));
  if (!out.noise_.write_initiation(payload, message)) return std::nullopt;
  return out;
}

std::optional<session::SessionParams> PeerInitiator::finish(ByteView noise_message, Instant now) {
  mismatch_ = PskMismatch::none;
  auto done = noise_.read_response(noise_message, psk_ ? *psk_ : no_psk());
  const bool with_psk = done.has_value() && psk_;
  // A refusal, or the response of a version without pre-shared keys.
  if (!done && psk_) done = noise_.read_response(noise_message, no_psk());
  if (!done) return std::nullopt;
  Reader in(done->payload);
  const std::uint8_t version = in.u8();
  const std::uint8_t kind = in.u8();
  const auto aead = static_cast<crypto::AeadKind>(kind);
  if (!in.ok() || version != kVersion) return std::nullopt;
  const Features theirs = read_features(in);
  if (kind == kRefused) {
    const std::uint8_t said = in.u8();
    if (in.ok() && said >= 1 && said <= 3) mismatch_ = seen_from_the_peer(static_cast<PskMismatch>(said));
    return std::nullopt;
  }
  if (psk_ && !with_psk) {
    mismatch_ = PskMismatch::self_alone;
    return std::nullopt;
  }
  if (std::find(offer_.begin(), offer_.end(), aead) == offer_.end()) return std::nullopt;
  return params_of(done->keys, aead, features_ & theirs, true, now);
}

PeerResponder::PeerResponder(const crypto::KeyPair& self, const NetworkId& network, Rng& rng)
    : noise_(self, prologue_for(network), rng), network_(network), self_(self.public_key) {}

std::optional<PeerResponder::Request> PeerResponder::read(ByteView noise_message) {
  const auto request = noise_.read_initiation(noise_message);
  if (!request) return std::nullopt;
  Request out;
  out.initiator = initiator_ = request->initiator;
  Reader in(request->payload);
  const std::uint8_t version = in.u8();
  const std::uint8_t purpose = in.u8();
  out.number = in.u64();
  out.initiator_mac.bytes = in.array<6>();
  out.responder_mac.bytes = in.array<6>();
  const ByteView offer = in.bytes(in.u8());
  for (const std::byte kind : offer.first(std::min(offer.size(), kMaxOffer))) {
    out.offer.push_back(static_cast<crypto::AeadKind>(kind));
  }
  if (!in.ok() || version != kVersion || purpose != kPurposePeer) return std::nullopt;
  out.features = theirs_ = read_features(in);
  const std::uint64_t check = in.u64();
  out.psk_check = psk_check_ = in.ok() ? check : 0;
  return out;
}

std::optional<session::SessionParams> PeerResponder::answer(crypto::AeadKind aead, Features features,
                                                            const std::optional<crypto::Key>& psk, Instant now,
                                                            Bytes& message) {
  Bytes payload;
  Writer w(payload);
  w.u8(kVersion);
  w.u8(static_cast<std::uint8_t>(aead));
  w.u32(features.bits());
  const auto keys = noise_.write_response(payload, psk ? *psk : no_psk(), message);
  if (!keys) return std::nullopt;
  return params_of(*keys, aead, features & theirs_, false, now);
}

PskMismatch PeerResponder::mismatch(const std::optional<crypto::Key>& psk) const {
  const std::uint64_t ours = psk_check(psk, network_, initiator_, self_);
  if (ours == psk_check_) return PskMismatch::none;
  if (psk_check_ == 0) return PskMismatch::self_alone;
  return psk ? PskMismatch::differs : PskMismatch::peer_alone;
}

bool PeerResponder::refuse(PskMismatch mismatch, Features features, Bytes& message) {
  Bytes payload;
  Writer w(payload);
  w.u8(kVersion);
  w.u8(kRefused);
  w.u32(features.bits());
  w.u8(static_cast<std::uint8_t>(mismatch));
  return noise_.write_response(payload, no_psk(), message).has_value();
}

}  // namespace eps::node
