// SPDX-License-Identifier: MIT
#include "registry/list_digest.h"

#include "registry/merkle_tree.h"

namespace eps::registry {

template <class Members>
crypto::Hash list_digest(const Members& members) {
  Bytes all;
  Writer w(all);
  for (const auto& [id, m] : members) {
    w.u32(id.value);
    w.bytes(m.key.bytes);
    w.bytes(m.mac.bytes);
    w.u32(m.address.value);
    w.u8(static_cast<std::uint8_t>(m.name.size()));
    w.bytes(as_view(m.name));
  }
  return crypto::blake2s({as_view("eps list digest"), all});
}
template crypto::Hash list_digest(const MemberMap& members);
template crypto::Hash list_digest(const std::map<MemberId, Member>& members);

namespace {
Bytes signed_message(std::string_view title, const NetworkId& network, std::uint64_t version,
                     const crypto::Hash& hash) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view(title));
  w.bytes(network.bytes);
  w.u64(version);
  w.bytes(hash);
  return out;
}
}  // namespace

Bytes signed_list_message(const NetworkId& network, std::uint64_t version, const crypto::Hash& digest) {
  return signed_message("eps member list", network, version, digest);
}

Bytes signed_records_message(const NetworkId& network, const RecoveryId& recovery, std::uint64_t version,
                             const crypto::Hash& root) {
  if (recovery == RecoveryId{}) return signed_message("eps member records", network, version, root);
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps recovered records"));
  w.bytes(network.bytes);
  w.bytes(recovery);
  w.u64(version);
  w.bytes(root);
  return out;
}

Bytes signed_recovery_message(const NetworkId& network, const RecoveryId& recovery, const crypto::Hash& binding) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps list recovery"));
  w.bytes(network.bytes);
  w.bytes(recovery);
  w.bytes(binding);
  return out;
}

bool is_signed(const PublicKey& signing_key, const NetworkId& network, const MemberList& list,
               const crypto::Signature& signature) {
  const Bytes records = signed_records_message(network, list.recovery(), list.version(), MerkleTree(list).root());
  if (crypto::verify(signing_key, records, signature)) return true;
  if (list.recovery() != RecoveryId{}) return false;
  return crypto::verify(signing_key, signed_list_message(network, list.version(), list_digest(list.members())),
                        signature);
}

}  // namespace eps::registry
