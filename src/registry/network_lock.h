// SPDX-License-Identifier: MIT
#pragma once

// The network lock: keys that the server does not hold sign the records of the members, so that whoever takes the
// server over can add, exchange, widen and redirect nobody. Pure: canonical bytes, signatures, and the chain of entries
// that says which keys count.
//
// The chain only grows. Each entry names the one before it by its hash, so two chains of one network either continue
// each other or have parted, and a client stays with the one that it knows.
//
//   "eps lock entry" | format 8 = 1 | network id 128 | number 32 | hash of the entry before, or zero 256 | kind 8 | ...
//     kind 1, the lock begins:  count 8, signers' keys 256 each | count 8, hashes of secrets 256 each | signature 512
//     kind 2, a signer comes:   its key 256 | signature 512
//     kind 3, a signer goes:    its key 256 | signature 512
//     kind 4, the lock ends:    secret 128, whose hash is in the entry of kind 1; that is its proof
//
// The signature is Ed25519 over all before it, by the first signer of the entry itself (kind 1) or by any key that
// counted before the entry. The hash of the entry of kind 1 is the lock's id: every signature over a record names it.
//
// Thread rules: as for any value.

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/primitives.h"
#include "model/network.h"
#include "model/network_lock.h"

namespace eps::registry {

using LockSecret = std::array<std::byte, 16>;

class LockChain {
 public:
  // Of a network that was never locked.
  LockChain() = default;
  // Errc::corrupt for what does not verify or continue, Errc::unsupported for a form of a newer version,
  // Errc::exhausted for one entry too many; the chain is then as before.
  Result<void> append(const NetworkId& network, ByteView entry);
  static Result<LockChain> of(const NetworkId& network, std::span<const Bytes> entries);

  bool on() const { return on_; }
  // The lock that is on, or was on last.
  const crypto::Hash& id() const { return id_; }
  const crypto::Hash& head() const { return head_; }
  const std::vector<PublicKey>& signers() const { return signers_; }
  const std::vector<crypto::Hash>& secrets() const { return secrets_; }
  const std::vector<Bytes>& entries() const { return entries_; }
  bool empty() const { return entries_.empty(); }
  // Whether the lock of this id began in it.
  bool began(const crypto::Hash& id) const;
  // Whether this chain is `older` or goes on from it.
  bool continues(const LockChain& older) const;

 private:
  std::vector<Bytes> entries_;
  std::vector<PublicKey> signers_;
  std::vector<crypto::Hash> secrets_;
  crypto::Hash id_{}, head_{};
  bool on_ = false;
};

// Entries for the end of the chain. REQUIRES: within the limits of model/network_lock.h
Bytes begin_lock(const LockChain& chain, const NetworkId& network, const crypto::Key& seed,
                 std::span<const LockSecret> secrets);
Bytes change_signer(const LockChain& chain, const NetworkId& network, const crypto::Key& seed, const PublicKey& signer,
                    bool comes);
Bytes end_lock(const LockChain& chain, const NetworkId& network, const LockSecret& secret);

// "eps lock record" | lock id 256 | network base 32, prefix 8 | IPv6 base 128, or zero | sequence 64 | id 32
// | key 256 | MAC 48 | address 32 | size 8, name | where it is in groups: number 8, for each: size 8, name
Bytes locked_record_message(const crypto::Hash& lock, const NetworkInfo& network, const Member& member);
// "eps lock grants" | lock id 256 | sequence 64 | id 32 | key 256 | for each range: address 128, length 8 | 1 if it may
// bridge
Bytes locked_grants_message(const crypto::Hash& lock, const Member& member);
LockMark sign_record(const crypto::Key& seed, const crypto::Hash& lock, const NetworkInfo& network, Member member,
                     std::uint64_t sequence);
// "eps lock policy" | lock id 256 | sequence 64 | the text
Bytes locked_policy_message(const crypto::Hash& lock, const NetworkPolicy& policy);
bool is_policy_signed(const LockChain& chain, const NetworkPolicy& policy);
// number 8, for each: size 8, name
void put_groups(const std::vector<std::string>& groups, Writer& to);
// Whether one of the keys that count signed the record as it is. The same for the grants: true where there are none.
bool is_record_signed(const LockChain& chain, const NetworkInfo& network, const Member& member);
bool are_grants_signed(const LockChain& chain, const Member& member);

// What people compare and copy: the first 128 bits of the id in base32; "eps-signer1-" and a key; "eps-unlock1-" and a
// secret.
std::string lock_id_text(const crypto::Hash& id);
std::string signer_text(const PublicKey& signer);
std::optional<PublicKey> parse_signer(std::string_view text);
std::string secret_text(const LockSecret& secret);
std::optional<LockSecret> parse_secret(std::string_view text);

// As the server and the clients keep it: each entry behind its size (16).
Bytes encode_chain(const LockChain& chain);
Result<LockChain> decode_chain(const NetworkId& network, ByteView bytes);
// sequence 64 | signature over the record 512 | signature over the grants 512
Bytes encode_mark(const LockMark& mark);
std::optional<LockMark> decode_mark(ByteView bytes);

}  // namespace eps::registry
