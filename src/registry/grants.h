// SPDX-License-Identifier: MIT
#pragma once

// What a member may use besides its own addresses, signed by the server for that member alone. The signature is stored
// with the member's record and is not part of the digest of the whole list, which programs of version 0.1 compute
// without it; they behave as if there were no grants.

#include <span>
#include <string>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// "eps member grants" | network id | member id 32 | member's key | for each range: address 128, length 8 | its
// permissions in 8 bits, if there are any
Bytes signed_grants_message(const NetworkId& network, const Member& member);
// Removes what the server has not signed: a member without a valid signature has its own addresses only.
void keep_signed_grants(const PublicKey& signing_key, const NetworkId& network, std::span<Member> members);

// The error for a text that is neither a range nor a permission.
std::string why_no_range(const std::string& text);

// Why no member can be allowed this range; "": it can be. A range that merely holds such addresses, as 0.0.0.0/0
// does, can be.
std::string why_not_allowed(const IpNetwork& range);

// How the server stores grants: everything but the signature. nullopt for invalid bytes or too many ranges.
Bytes encode_grants(const Grants& grants);
std::optional<Grants> decode_grants(ByteView bytes);

}  // namespace eps::registry
