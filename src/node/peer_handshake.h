// SPDX-License-Identifier: MIT
#pragma once

// The handshake between two members: Noise IKpsk2 messages in wire initiations and responses, the contents of their
// payloads, and the derivation of a session's transport keys.
//
//   initiation payload  | version 8 | purpose 8 (3: peer) | number 64 | initiator MAC 48 | responder MAC 48 | n 8 |
//                       | AEAD kinds n | features 32 | psk check 64 |
//   response payload    | version 8 | AEAD kind 8 | features 32 |
//   refusal payload     | version 8 | 0           | features 32 | mismatch 8 |
//
// `number` grows with every initiation of a static key, across restarts: a replayed initiation is refused. Both MACs
// are bound here, so that an omitted Ethernet header can be rebuilt. Version 0.1 sends no features and ignores what
// follows the fields it knows; a session has the features of both ends. A transport key is HMAC-BLAKE2s(Noise's key,
// "eps data key" | version | AEAD kind | direction).
//
// psk2 is the two members' pre-shared key, or zero for a member without one. Only members that have one send the check,
// the first 64 bits of HMAC-BLAKE2s(psk, "eps psk check" | network id | initiator's static key | responder's): it tells
// the responder in advance whether its answer will be understood. If not, it refuses, with psk2 zero, and says how the
// two keys differ. Version 0.1 has no such key and answers with psk2 zero.

#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "crypto/aead.h"
#include "model/features.h"
#include "model/network.h"
#include "model/psk_mismatch.h"
#include "noise/handshake.h"
#include "session/session.h"

namespace eps::node {

struct PeerBinding {
  NetworkId network;
  Mac self;
  Mac peer;
};

// An initiation of ours that is waiting for its response.
class PeerInitiator {
 public:
  // Appends the noise message to `message`; nullopt when the peer's key is unusable.
  static std::optional<PeerInitiator> start(const crypto::KeyPair& self, const PublicKey& peer,
                                            const PeerBinding& binding, std::uint64_t number,
                                            const std::vector<crypto::AeadKind>& offer, Features features,
                                            const std::optional<crypto::Key>& psk, Rng& rng, Bytes& message);
  // nullopt if it is not a response to this initiation, or if the peer has another psk: then mismatch() says how. The
  // indices are left for the caller to fill.
  std::optional<session::SessionParams> finish(ByteView noise_message, Instant now);
  PskMismatch mismatch() const { return mismatch_; }

 private:
  explicit PeerInitiator(noise::Initiator noise) : noise_(std::move(noise)) {}
  noise::Initiator noise_;
  std::vector<crypto::AeadKind> offer_;
  Features features_;
  std::optional<crypto::Key> psk_;
  PskMismatch mismatch_ = PskMismatch::none;
};

// Another member's initiation, read and not yet answered.
class PeerResponder {
 public:
  PeerResponder(const crypto::KeyPair& self, const NetworkId& network, Rng& rng);
  struct Request {
    PublicKey initiator;
    std::uint64_t number = 0;
    Mac initiator_mac;
    Mac responder_mac;
    std::vector<crypto::AeadKind> offer;
    Features features;
    std::uint64_t psk_check = 0;
  };
  std::optional<Request> read(ByteView noise_message);
  // Appends the noise message of the response. `features` are this node's. REQUIRES: read() succeeded.
  // REQUIRES: mismatch(psk) == none.
  std::optional<session::SessionParams> answer(crypto::AeadKind aead, Features features,
                                               const std::optional<crypto::Key>& psk, Instant now, Bytes& message);
  // Compares the initiator's psk with ours. REQUIRES: read() succeeded.
  PskMismatch mismatch(const std::optional<crypto::Key>& psk) const;
  // Appends the noise message of a refusal for `mismatch`, as this node sees it. False: the initiator's key is
  // unusable.
  bool refuse(PskMismatch mismatch, Features features, Bytes& message);

 private:
  noise::Responder noise_;
  NetworkId network_;
  PublicKey self_, initiator_;
  Features theirs_;
  std::uint64_t psk_check_ = 0;
};

}  // namespace eps::node
