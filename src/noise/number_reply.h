// SPDX-License-Identifier: MIT
#pragma once

// The answer to an initiation whose number is not greater than its sender's last one: "use a number above this one". A
// member that was restored from a snapshot counts from an old number; without the answer its peers would refuse it as
// replayed for as long as they remember.
//
//   | type 8 | receiver index 24 | nonce 96 | sealed number 64 + tag 128 |
//
// The key is derived from the static keys of both ends, so only the peer itself can make it; the additional data is the
// header and mac1 of the initiation, so it answers that initiation alone. The reply makes no initiation acceptable: the
// sender has to start over, with a greater number and a fresh ephemeral key.

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/types.h"
#include "crypto/primitives.h"
#include "crypto/secret.h"

namespace eps::noise {

// nullopt: the peer's key is unusable. `network` keeps keys of different networks apart.
std::optional<crypto::Key> number_reply_key(const crypto::KeyPair& self, const PublicKey& peer, ByteView network);

// `initiation`: complete, with both MACs; its sender index is `receiver`.
Bytes make_number_reply(const crypto::Key& key, ByteView initiation, std::uint32_t receiver, std::uint64_t number,
                        Rng& rng);

// The number, if the peer made `reply` for this initiation (complete, with both MACs).
std::optional<std::uint64_t> read_number_reply(const crypto::Key& key, ByteView initiation, ByteView reply);

}  // namespace eps::noise
