// SPDX-License-Identifier: MIT
#pragma once

// What the network lock means to a client: the chain that it has seen, which only grows, and who of a member list is
// refused because no signer signed its record as it is. The server's word counts for nothing here. A client that knows
// a lock that is on never takes the network for unlocked again, whatever the server says or leaves out; only an entry
// with one of the lock's secrets ends it.
//
// A member with a good signature is refused as well where
//   - this client has seen a newer signature of the same member, or has seen the member leave: the record is an old
//     one,
//   - another signed member of the list has its name, key, MAC or address, and a signature that is newer or as new.
// Further addresses count only where they are signed.
//
// Sans I/O. Thread rules: one thread at a time.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/members_changed.h"
#include "model/network.h"
#include "model/status.h"
#include "node/refused_peer.h"
#include "registry/network_lock.h"

namespace eps::node {

// Members whose last signature is remembered. Of more, those with the lowest numbers are forgotten that have left.
inline constexpr std::size_t kMaxSignaturesKnown = 2 * kMaxMembers;
inline constexpr std::size_t kMaxLockFile = 4 * 1024 * 1024;  // bytes, of the largest text

class LockGuard {
 public:
  // The chain as the server has it. True: it continues the one that is known, which it replaces.
  bool receive(const NetworkId& network, const std::vector<Bytes>& entries);
  const registry::LockChain& chain() const { return chain_; }
  // While no chain is known, only one counts in which this lock began; nobody does until it is there.
  void expect(const crypto::Hash& id) { expected_ = id; }
  bool on() const { return chain_.on() || (chain_.empty() && expected_); }
  // Whether there is anything to say of a lock.
  bool known() const { return on() || !chain_.empty(); }

  // Judges the members of the list; of a list that was looked at before, those that have changed since. Returns whose
  // standing has changed besides. `self`: this computer, which is judged but never refused.
  std::vector<MemberId> look(const NetworkInfo& network, const MemberList& list, MemberId self,
                             const MembersChanged& changed);
  const std::map<MemberId, RefusedPeer>& refused() const { return refused_; }
  // Those that count with their own addresses alone.
  const std::set<MemberId>& own_addresses_only() const { return own_addresses_only_; }
  // The policy that counts: where the lock is on the newest that a signer signed, however old the server's is, and what
  // the server says only where none was signed yet. It can be withheld from a client that has not seen it.
  const NetworkPolicy& policy(const NetworkPolicy& listed);
  // A new signature for the policy must have this sequence at least.
  std::uint64_t next_policy_sequence() const { return policy_.sequence + 1; }
  // Whether this policy counts as it is.
  bool takes(const NetworkPolicy& listed) const;
  // Whether this computer may take part, with this place in the network.
  bool admits(const NetworkInfo& network, const Member& self) const;
  // A new signature for this member must have this sequence at least.
  std::uint64_t next_sequence(MemberId id) const;
  // Whether this computer has seen the removal of the member that carries this signature, or a newer one: a server that
  // lists it all the same was restored from a backup, or lies. One that joined again has no signature.
  bool saw_removal_of(const Member& member) const;

  LockStatus status() const;

  // Sentences for the log, emptied by the call.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

  // Whether there is something to keep: at once, as what was seen must not be forgotten, or a little later.
  bool changed() const { return changed_ || chain_changed_; }
  bool chain_changed() const { return chain_changed_; }
  bool take_changed() {
    const bool out = changed();
    changed_ = chain_changed_ = false;
    return out;
  }
  // The network's server and id, the chain, and a line for each member that was signed.
  std::string encode(const PublicKey& server) const;
  // Of this server; nothing where the text is of another. Errc::corrupt: "it ...".
  static Result<LockGuard> decode(std::string_view text, const PublicKey& server);

 private:
  struct Seen {
    std::uint64_t sequence = 0;
    bool gone = false;  // it left the list after that
    bool operator==(const Seen&) const = default;
  };
  struct Verdict {
    crypto::Hash content{};  // what was verified
    bool record = false, grants = false;
  };
  void verify(const NetworkInfo& network, const Member& member);
  std::optional<std::string> judge(const Member& member) const;
  void see(const MemberList& list);
  void refuse(const Member& member, std::string why, std::map<MemberId, RefusedPeer>& to);
  void tell_changes(const registry::LockChain& next);
  void trouble(std::string sentence);

  registry::LockChain chain_;
  NetworkId network_;  // of the chain
  std::optional<crypto::Hash> expected_;
  std::map<MemberId, Seen> seen_;
  std::map<MemberId, Verdict> verdicts_;
  std::optional<NetworkInfo> judged_for_;
  crypto::Hash judged_by_{};  // head of the chain
  std::map<MemberId, RefusedPeer> refused_;
  std::set<MemberId> own_addresses_only_;
  NetworkPolicy policy_;  // the newest that was signed; sequence 0: none
  std::string policy_trouble_;
  std::string trouble_;  // with what the server says of the chain
  std::vector<std::string> warnings_, notes_;
  bool changed_ = false, chain_changed_ = false;
};

}  // namespace eps::node
