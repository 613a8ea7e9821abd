// SPDX-License-Identifier: MIT

// The messages of Noise_IKpsk2 and what each token mixes in:
//
//   <- s                        both sides know the responder's static key beforehand
//   -> e, es, s, ss   payload   message 1
//   <- e, ee, se, psk payload   message 2
//
// In a psk handshake `e` is mixed into the key too (section 9.2). Every key of this pattern seals exactly one text,
// because each EncryptAndHash follows a MixKey or MixKeyAndHash: so every nonce is 0.

#include "noise/handshake.h"

#include <utility>

#include "base/check.h"
#include "crypto/aead.h"

namespace eps::noise {
namespace {

using crypto::AeadKind;
using crypto::Key;
using crypto::KeyPair;
using crypto::kTagSize;

constexpr std::string_view kProtocolName = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::size_t kKeySize = sizeof(PublicKey::bytes);
constexpr std::size_t kMaxMessageSize = 65535;  // section 3

// SymmetricState and CipherState of section 5, for this one protocol.
class Symmetric {
 public:
  explicit Symmetric(ByteView prologue) : hash_(crypto::blake2s({as_view(kProtocolName)})), chain_(hash_) {
    mix_hash(prologue);
  }

  Symmetric clone() const { return Symmetric(*this); }

  void mix_hash(ByteView data) { hash_ = crypto::blake2s({hash_, data}); }

  void mix_key(ByteView input) {
    crypto::Hkdf3 keys = crypto::hkdf(chain_.view(), input);
    chain_ = std::move(keys.first);
    key_ = std::move(keys.second);
  }

  void mix_key_and_hash(const Key& psk) {
    crypto::Hkdf3 keys = crypto::hkdf(chain_.view(), psk.view());
    chain_ = std::move(keys.first);
    mix_hash(keys.second.view());
    key_ = std::move(keys.third);
  }

  // The token `e`.
  void mix_ephemeral(const PublicKey& e) {
    mix_hash(e.bytes);
    mix_key(e.bytes);
  }

  // One of es, ss, ee, se; false when the other side's key is of small order.
  [[nodiscard]] bool mix_shared(const Key& secret, const PublicKey& peer) {
    const auto shared = crypto::x25519(secret, peer);
    if (shared) mix_key(shared->view());
    return shared.has_value();
  }

  // EncryptAndHash, appending to `out`. REQUIRES: a key was mixed since the last text.
  void seal(ByteView text, Bytes& out) {
    const std::size_t at = out.size();
    out.resize(at + text.size() + kTagSize);
    crypto::SealItem item;
    item.aad = hash_;
    item.body = text;
    item.out = out.data() + at;
    crypto::make_aead(AeadKind::chacha20poly1305, key_)->seal({&item, 1});
    mix_hash(ByteView(out).subspan(at));
  }

  // DecryptAndHash. REQUIRES: as seal.
  [[nodiscard]] bool open(ByteView sealed, ByteSpan out) {
    crypto::OpenItem item;
    item.aad = hash_;
    item.sealed = sealed;
    item.out = out.data();
    crypto::make_aead(AeadKind::chacha20poly1305, key_)->open({&item, 1});
    if (item.ok) mix_hash(sealed);
    return item.ok;
  }
  std::optional<Bytes> open(ByteView sealed) {
    if (sealed.size() < kTagSize) return std::nullopt;
    Bytes text(sealed.size() - kTagSize);
    if (!open(sealed, text)) return std::nullopt;
    return text;
  }

  TransportKeys split() const {
    crypto::Hkdf3 keys = crypto::hkdf(chain_.view(), {});
    return {std::move(keys.first), std::move(keys.second), hash_, std::move(keys.third)};
  }

 private:
  Symmetric(const Symmetric& other) : hash_(other.hash_), chain_(other.chain_.clone()), key_(other.key_.clone()) {}

  crypto::Hash hash_;  // public: over everything said so far
  Key chain_;
  Key key_;
};

PublicKey read_key(Reader& in) {
  return {in.array<kKeySize>()};
}

}  // namespace

struct Initiator::State {
  KeyPair self;
  PublicKey responder;
  Rng& rng;
  Symmetric symmetric;
  std::optional<KeyPair> ephemeral;  // once message 1 is written
};

Initiator::Initiator(const KeyPair& self, const PublicKey& responder, ByteView prologue, Rng& rng)
    : state_(new State{self.clone(), responder, rng, Symmetric(prologue), std::nullopt}) {
  state_->symmetric.mix_hash(responder.bytes);
}
Initiator::~Initiator() = default;
Initiator::Initiator(Initiator&&) noexcept = default;
Initiator& Initiator::operator=(Initiator&&) noexcept = default;

bool Initiator::write_initiation(ByteView payload, Bytes& out) {
  State& s = *state_;
  EPS_CHECK(!s.ephemeral && payload.size() <= kMaxMessageSize - kInitiationOverhead);
  s.ephemeral = crypto::generate_key_pair(s.rng);
  s.symmetric.mix_ephemeral(s.ephemeral->public_key);
  if (!s.symmetric.mix_shared(s.ephemeral->secret, s.responder)) return false;  // es
  Bytes message(s.ephemeral->public_key.bytes.begin(), s.ephemeral->public_key.bytes.end());
  s.symmetric.seal(s.self.public_key.bytes, message);                     // s
  if (!s.symmetric.mix_shared(s.self.secret, s.responder)) return false;  // ss
  s.symmetric.seal(payload, message);
  Writer(out).bytes(message);
  return true;
}

std::optional<Initiator::Done> Initiator::read_response(ByteView message, const Key& psk) {
  const State& s = *state_;
  EPS_CHECK(s.ephemeral);
  if (message.size() < kResponseOverhead || message.size() > kMaxMessageSize) return std::nullopt;
  Symmetric symmetric = s.symmetric.clone();  // so that a forged response spoils nothing
  Reader in(message);
  const PublicKey e = read_key(in);
  symmetric.mix_ephemeral(e);
  if (!symmetric.mix_shared(s.ephemeral->secret, e)) return std::nullopt;  // ee
  if (!symmetric.mix_shared(s.self.secret, e)) return std::nullopt;        // se
  symmetric.mix_key_and_hash(psk);
  auto payload = symmetric.open(in.rest());
  if (!payload) return std::nullopt;
  return Done{std::move(*payload), symmetric.split()};
}

struct Responder::State {
  KeyPair self;
  Rng& rng;
  Symmetric symmetric;
  PublicKey initiator;
  PublicKey ephemeral;  // the initiator's
  enum class Step { reading, writing, over } step = Step::reading;
};

Responder::Responder(const KeyPair& self, ByteView prologue, Rng& rng)
    : state_(new State{self.clone(), rng, Symmetric(prologue), {}, {}}) {
  state_->symmetric.mix_hash(self.public_key.bytes);
}
Responder::~Responder() = default;
Responder::Responder(Responder&&) noexcept = default;
Responder& Responder::operator=(Responder&&) noexcept = default;

std::optional<Responder::Request> Responder::read_initiation(ByteView message) {
  State& s = *state_;
  EPS_CHECK(s.step == State::Step::reading);
  s.step = State::Step::over;
  if (message.size() < kInitiationOverhead || message.size() > kMaxMessageSize) return std::nullopt;
  Reader in(message);
  s.ephemeral = read_key(in);
  s.symmetric.mix_ephemeral(s.ephemeral);
  if (!s.symmetric.mix_shared(s.self.secret, s.ephemeral)) return std::nullopt;                            // es
  if (!s.symmetric.open(in.bytes(kKeySize + kTagSize), ByteSpan(s.initiator.bytes))) return std::nullopt;  // s
  if (!s.symmetric.mix_shared(s.self.secret, s.initiator)) return std::nullopt;                            // ss
  auto payload = s.symmetric.open(in.rest());
  if (!payload) return std::nullopt;
  s.step = State::Step::writing;
  return Request{s.initiator, std::move(*payload)};
}

std::optional<TransportKeys> Responder::write_response(ByteView payload, const Key& psk, Bytes& out) {
  State& s = *state_;
  EPS_CHECK(s.step == State::Step::writing && payload.size() <= kMaxMessageSize - kResponseOverhead);
  s.step = State::Step::over;
  const KeyPair ephemeral = crypto::generate_key_pair(s.rng);
  s.symmetric.mix_ephemeral(ephemeral.public_key);
  if (!s.symmetric.mix_shared(ephemeral.secret, s.ephemeral)) return std::nullopt;  // ee
  if (!s.symmetric.mix_shared(ephemeral.secret, s.initiator)) return std::nullopt;  // se
  s.symmetric.mix_key_and_hash(psk);
  Writer(out).bytes(ephemeral.public_key.bytes);
  s.symmetric.seal(payload, out);
  return s.symmetric.split();
}

}  // namespace eps::noise
