#pragma once

// The handshake between two members: Noise IKpsk2 messages in wire initiations and responses, what their payloads say,
// and how the transport keys of a session follow.
//
//   initiation payload  | version 8 | purpose 8 (3: peer) | number 64 | initiator MAC 48 | responder MAC 48 | n 8 |
//                       | AEAD kinds n | features 32 |
//   response payload    | version 8 | AEAD kind 8 | features 32 |
//
// `number` grows with every initiation of a static key, across restarts: a replayed initiation is refused. Both MACs
// are bound here, so that an Ethernet header that was left out can be rebuilt. Version 0.1 sends no features and
// ignores what follows the fields it knows; a session has the features of both ends. A transport key is
// HMAC-BLAKE2s(Noise's key, "eps data key" | version | AEAD kind | direction).

#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "crypto/aead.h"
#include "model/features.h"
#include "model/network.h"
#include "noise/handshake.h"
#include "session/session.h"

namespace eps::node {

struct PeerBinding {
  NetworkId network;
  Mac self;
  Mac peer;
};

// An initiation of ours that waits for its response.
class PeerInitiator {
 public:
  // Appends the noise message to `message`; nullopt when the peer's key is unusable.
  static std::optional<PeerInitiator> start(const crypto::KeyPair& self, const PublicKey& peer,
                                            const PeerBinding& binding, std::uint64_t number,
                                            const std::vector<crypto::AeadKind>& offer, Features features, Rng& rng,
                                            Bytes& message);
  // nullopt when it is no answer to this initiation. The indices are left for the caller to fill.
  std::optional<session::SessionParams> finish(ByteView noise_message, Instant now);

 private:
  explicit PeerInitiator(noise::Initiator noise) : noise_(std::move(noise)) {}
  noise::Initiator noise_;
  std::vector<crypto::AeadKind> offer_;
  Features features_;
};

// An initiation of somebody's, read and not yet answered.
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
  };
  std::optional<Request> read(ByteView noise_message);
  // Appends the noise message of the response. `features` are this node's. REQUIRES: read() succeeded.
  std::optional<session::SessionParams> answer(crypto::AeadKind aead, Features features, Instant now, Bytes& message);

 private:
  noise::Responder noise_;
  Features theirs_;
};

}  // namespace eps::node
