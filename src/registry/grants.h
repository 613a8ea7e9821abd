// SPDX-License-Identifier: MIT
#pragma once

// What a member may use besides its own addresses, signed by the server for that member alone. The signature stands
// beside the member's record and not in the digest of the whole list, which programs of version 0.1 compute
// without it; they go on as if there were none.

#include <span>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// "eps member grants" | network id | member id 32 | member's key | for each range: address 128, length 8 | 1 if it may
// bridge
Bytes signed_grants_message(const NetworkId& network, const Member& member);
// Takes away what the server has not signed: a member without a valid signature has its own addresses only.
void keep_signed_grants(const PublicKey& signing_key, const NetworkId& network, std::span<Member> members);

// What the server's store keeps of them: all but the signature. nullopt for bytes that are none, or too many ranges.
Bytes encode_grants(const Grants& grants);
std::optional<Grants> decode_grants(ByteView bytes);

}  // namespace eps::registry
