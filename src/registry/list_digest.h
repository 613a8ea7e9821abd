#pragma once

// What a member list is bound to: a digest over the stable fields of all members, and the message that the server
// signs. The server computes it when it changes a member, a client after every delta.

#include <map>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// BLAKE2s over, for each member in order of its id: id 32, key 256, MAC 48, address 32, name size 8, name.
crypto::Hash list_digest(const std::map<MemberId, Member>& members);
// "eps member list" | network id | version 64 | digest
Bytes signed_list_message(const NetworkId& network, std::uint64_t version, const crypto::Hash& digest);
// Whether the server signed exactly these members at this version.
bool is_signed(const PublicKey& signing_key, const NetworkId& network, const MemberList& list,
               const crypto::Signature& signature);

}  // namespace eps::registry
