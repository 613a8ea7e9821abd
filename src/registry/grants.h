#pragma once

// Addresses that a member may use besides its own, each list signed by the server for that member alone. The signature
// stands beside the member's record and not in the digest of the whole list, which programs of version 0.1 compute
// without it; they go on as if there were none.

#include <span>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// "eps member grants" | network id | member id 32 | member's key | for each range: address 128, length 8
Bytes signed_grants_message(const NetworkId& network, const Member& member);
// Takes away what the server has not signed: a member without a valid signature has no further addresses.
void keep_signed_grants(const PublicKey& signing_key, const NetworkId& network, std::span<Member> members);

// The ranges as the server's store keeps them. nullopt for bytes that are none, or too many.
Bytes encode_grants(const std::vector<IpNetwork>& ranges);
std::optional<std::vector<IpNetwork>> decode_grants(ByteView bytes);

}  // namespace eps::registry
