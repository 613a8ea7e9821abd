// SPDX-License-Identifier: MIT
#pragma once

// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise Protocol Framework, revision 34) as a pure state machine. The same
// handshake opens the control channel over TCP and the sessions between members over UDP.
//
// Both sides: make one object, then call the two steps in order. After any failure the object is useless; discard it.
// The one exception is read_response, which may be retried: a forged response must not end a handshake.
// psk2 proves nothing about the initiator until its first transport message opens, so the responder neither persists
// anything nor admits anybody before that.

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/types.h"
#include "crypto/primitives.h"
#include "crypto/secret.h"

namespace eps::noise {

inline constexpr std::size_t kInitiationOverhead = 32 + 48 + 16;  // e, encrypted s, payload tag
inline constexpr std::size_t kResponseOverhead = 32 + 16;         // e, payload tag

// What both sides hold at the end: the keys of Noise's Split(), its handshake hash as a channel binding, and a third
// output of the same HKDF, independent of the two keys: a secret for a later handshake between the two.
struct TransportKeys {
  crypto::Key initiator_to_responder;
  crypto::Key responder_to_initiator;
  crypto::Hash handshake_hash{};
  crypto::Key next_psk;
};

class Initiator {
 public:
  Initiator(const crypto::KeyPair& self, const PublicKey& responder, ByteView prologue, Rng& rng);
  ~Initiator();
  Initiator(Initiator&&) noexcept;
  Initiator& operator=(Initiator&&) noexcept;
  // Appends message 1. False when the responder's key is unusable.
  [[nodiscard]] bool write_initiation(ByteView payload, Bytes& out);
  struct Done {
    Bytes payload;
    TransportKeys keys;
  };
  // nullopt: not a response to this initiation, or the psk differs.
  std::optional<Done> read_response(ByteView message, const crypto::Key& psk);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Responder {
 public:
  Responder(const crypto::KeyPair& self, ByteView prologue, Rng& rng);
  ~Responder();
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  struct Request {
    PublicKey initiator;
    Bytes payload;
  };
  std::optional<Request> read_initiation(ByteView message);
  // Appends message 2. REQUIRES: read_initiation succeeded.
  std::optional<TransportKeys> write_response(ByteView payload, const crypto::Key& psk, Bytes& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace eps::noise
