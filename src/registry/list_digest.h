// SPDX-License-Identifier: MIT
#pragma once

// Binds a member list to its server: a message over the stable fields of all members, which the server signs. Version
// 0.1 signs a digest over the whole list; later versions sign the root of a Merkle tree.

#include <map>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// BLAKE2s over, for each member in order of its id: id 32, key 256, MAC 48, address 32, name size 8, name.
// `Members` is MemberMap or std::map<MemberId, Member>.
template <class Members>
crypto::Hash list_digest(const Members& members);
// "eps member list" | network id | version 64 | digest
Bytes signed_list_message(const NetworkId& network, std::uint64_t version, const crypto::Hash& digest);
// "eps member records" | network id | version 64 | root of the Merkle tree (registry/merkle_tree.h); after a recovery
// "eps recovered records" | network id | recovery 128 | version 64 | root
Bytes signed_records_message(const NetworkId& network, const RecoveryId& recovery, std::uint64_t version,
                             const crypto::Hash& root);
// "eps list recovery" | network id | recovery 128 | binding: by it the server tells one client, in the connection that
// has this binding (control::Channel::binding()), that the list counts from this beginning.
Bytes signed_recovery_message(const NetworkId& network, const RecoveryId& recovery, const crypto::Hash& binding);
// Whether the server signed exactly these members at this version, in either form.
bool is_signed(const PublicKey& signing_key, const NetworkId& network, const MemberList& list,
               const crypto::Signature& signature);

}  // namespace eps::registry
