#include "node/peer_handshake.h"

#include <algorithm>
#include <array>

namespace eps::node {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kPurposePeer = 3;
constexpr std::size_t kMaxOffer = 8;

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
  params.send_key = initiator ? std::move(forth) : std::move(back);
  params.receive_key = initiator ? std::move(back) : std::move(forth);
  return params;
}

// Nothing from version 0.1. Bytes behind them belong to a later version's fields.
Features read_features(Reader& in) {
  const std::uint32_t bits = in.u32();
  return in.ok() ? Features(bits) : Features();
}

// Between members nobody holds a pre-shared key yet; the slot is kept for a post-quantum secret.
const crypto::Key& no_psk() {
  static const crypto::Key zero;
  return zero;
}

}  // namespace

std::optional<PeerInitiator> PeerInitiator::start(const crypto::KeyPair& self, const PublicKey& peer,
                                                  const PeerBinding& binding, std::uint64_t number,
                                                  const std::vector<crypto::AeadKind>& offer, Features features,
                                                  Rng& rng, Bytes& message) {
  PeerInitiator out(noise::Initiator(self, peer, prologue_for(binding.network), rng));
  out.offer_ = offer;
  out.features_ = features;
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
  if (!out.noise_.write_initiation(payload, message)) return std::nullopt;
  return out;
}

std::optional<session::SessionParams> PeerInitiator::finish(ByteView noise_message, Instant now) {
  const auto done = noise_.read_response(noise_message, no_psk());
  if (!done) return std::nullopt;
  Reader in(done->payload);
  const std::uint8_t version = in.u8();
  const auto aead = static_cast<crypto::AeadKind>(in.u8());
  if (!in.ok() || version != kVersion || std::find(offer_.begin(), offer_.end(), aead) == offer_.end()) {
    return std::nullopt;
  }
  return params_of(done->keys, aead, features_ & read_features(in), true, now);
}

PeerResponder::PeerResponder(const crypto::KeyPair& self, const NetworkId& network, Rng& rng)
    : noise_(self, prologue_for(network), rng) {}

std::optional<PeerResponder::Request> PeerResponder::read(ByteView noise_message) {
  const auto request = noise_.read_initiation(noise_message);
  if (!request) return std::nullopt;
  Request out;
  out.initiator = request->initiator;
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
  return out;
}

std::optional<session::SessionParams> PeerResponder::answer(crypto::AeadKind aead, Features features, Instant now,
                                                            Bytes& message) {
  Bytes payload;
  Writer w(payload);
  w.u8(kVersion);
  w.u8(static_cast<std::uint8_t>(aead));
  w.u32(features.bits());
  const auto keys = noise_.write_response(payload, no_psk(), message);
  if (!keys) return std::nullopt;
  return params_of(*keys, aead, features & theirs_, false, now);
}

}  // namespace eps::node
