// SPDX-License-Identifier: MIT
#pragma once

// Who is a member, under which name and address, and what changed since when. This is the server's memory: every answer
// that admits or removes somebody is durable in the Store before it is sent.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "crypto/primitives.h"
#include "model/network.h"
#include "ports/store.h"
#include "registry/change_log.h"
#include "registry/free_addresses.h"
#include "registry/join_keys.h"
#include "registry/merkle_tree.h"
#include "registry/network_lock.h"

namespace eps::registry {

struct RegistryConfig {
  Ip4Network network;
  bool sequential = false;  // the lowest free address instead of a random one
  std::uint16_t mtu = kDefaultMtu;
  std::int64_t started_at = 0;  // seconds since 1970, by this computer's clock, which may be wrong: see version()
  // Evidence that a network existed, if there is any, and how to begin another: a state without a network is an error
  // then.
  std::optional<std::string> had_network = std::nullopt;
  std::optional<IpNetwork> network6 = std::nullopt;  // nullopt: default_network6()
  std::string started_as = {};                       // for the audit record; "": the start is not recorded
};

// The server's own keys, created at its first start.
struct Identity {
  crypto::KeyPair keys;
  crypto::Key signing_seed;  // Ed25519
};

struct JoinRequest {
  PublicKey key;
  std::string name;                                      // as chosen by the client; made unique here
  std::string version;                                   // of its program
  std::optional<std::uint32_t> join_key = std::nullopt;  // the key whose secret it proved
  std::uint32_t secrets_before = 0;                      // of that key: whether it was replaced since
  bool relays = false;                                   // whether it relays for other members
  IpAddress from = {};                                   // shown in the list of those waiting for approval
  std::int64_t unix_time = 0;                            // now
};

struct Refusal {
  enum class Code { unknown_key, revoked, full, store_failed, join_key, waits };
  Code code;
  std::string sentence;  // for the user of the client
};

// A computer that proved a join key and is waiting for an administrator to admit it.
struct PendingJoin {
  JoinRequest request;
  std::string name;        // it would get now; `eps members approve` takes it
  std::int64_t since = 0;  // seconds since 1970
};
// The maximum; more are refused. Waiting computers ask again, so a restarted server may forget them.
inline constexpr std::size_t kMaxPendingJoins = 256;
// One that has not asked for this long (seconds) makes room for another; a waiting client asks every few seconds.
inline constexpr std::int64_t kPendingGone = 600;

// In a network without free addresses, a new member displaces the one that has been away longest. A member is displaced
// only after it has been away for as long as it had been a member, within these limits: a container that lived for a
// minute keeps its address for another minute, a long-standing computer for a week. The lower limit is the time that a
// member may take to reconnect after a change of its network.
inline constexpr std::int64_t kKeepPlaceAtLeast = 3;  // seconds
inline constexpr std::int64_t kKeepPlaceAtMost = 7 * 24 * 3600;

// An ephemeral member is removed when it has been away for this long: longer than a computer takes to restart, or a
// client to reconnect after a change of its network.
inline constexpr std::int64_t kKeepEphemeral = 10 * 60;  // seconds
// After its start the server removes nobody for this long (ephemeral members: kKeepEphemeral), because they were away
// while it was down.
inline constexpr std::int64_t kExpiryGrace = 3600;  // seconds

// After each start, the first new member gets a number up to this far ahead. A state restored from a backup does not
// know the numbers assigned since, and clients refuse a number that returns with another key
// (node/known_peers.h). 2^24 numbers last for 32,000 such starts.
inline constexpr std::uint32_t kSkippedNumbers = 1024;

// Locks that members propose, until an administrator of this server accepts one: the newest of each member.
inline constexpr std::size_t kMaxLockProposals = 16;

// How many removed members a delta can report; a client that is further behind gets the whole list.
inline constexpr std::size_t kMaxTombstones = 4096;

class Registry {
 public:
  // Loads the state, or creates identity and network id at the first start. Members whose addresses lie outside the
  // configured network get new ones. REQUIRES: store and rng outlive the registry.
  // If the store is read-only, the registry continues with what is stored; `unsaved` gives the reason.
  static Result<std::unique_ptr<Registry>> open(ports::Store& store, const RegistryConfig& config, Rng& rng);

  const std::optional<Error>& unsaved() const { return unsaved_why_; }
  const Identity& identity() const { return identity_; }
  const NetworkInfo& network() const { return network_; }
  PublicKey signing_key() const { return signing_key_; }
  const std::map<MemberId, Member>& members() const { return members_; }
  const Member* find(MemberId id) const;
  const Member* find_name(std::string_view name) const;

  // A member with a known key keeps its id, MAC and address. The member is not online yet.
  using Joined = std::variant<Member, Refusal>;
  Joined join(const JoinRequest& request) { return join_all({&request, 1}).front(); }
  // Writes all of them to the store at once: either everything new about them is durable, or they are refused.
  std::vector<Joined> join_all(std::span<const JoinRequest> requests);
  // Whether this join writes to the store.
  bool join_writes(const PublicKey& key, std::string_view name) const;
  // Computers that wait for an administrator, oldest first.
  const std::vector<PendingJoin>& pending() const { return pending_; }
  bool waits(const PublicKey& key) const;
  // Admits a waiting computer the next time it asks, or refuses its key from now on. By name, or by key as text.
  // Errc::not_found: no such computer is waiting.
  Result<Member> approve(std::string_view name, std::int64_t now);
  Result<void> deny(std::string_view name);

  const JoinKeys& join_keys() const { return join_keys_; }
  Result<JoinKey> create_join_key(const JoinKeyWish& wish, std::int64_t now);
  // By number or name. Errc::not_found; Errc::invalid_argument if several have the name.
  Result<JoinKey> revoke_join_key(std::string_view which);
  // Gives the network's key a new secret: the old one admits nobody any more. Members stay.
  Result<JoinKey> rotate_network_key(const JoinKeyWish& wish, std::int64_t now);

  // The network lock: what its signers sign is checked, stored and handed on here, and cannot be made here. A change
  // comes from a member, or from this server's administrator. One that begins a lock, from a member, is no more than
  // proposed: any member could lock the others out. Marks for a proposed lock are kept with it. Returns a sentence
  // about what was done. Nothing is done where a part of the change is refused.
  const LockChain& lock() const { return lock_; }
  Result<std::string> change_lock(const LockChange& change, std::optional<MemberId> from);
  // The proposed lock of this id (lock_id_text()) is on from now on. Errc::not_found.
  Result<std::string> accept_lock(std::string_view id);

  // Verified once for each change of the record or of the lock, about 0.1 ms each.
  NotSigned not_signed(const Member& member) const;

  // The audit record of control actions. Each action is recorded by the very change to the store that carries it out.
  // set_actor() states in advance who requests the following actions.
  void set_actor(Actor actor) { actor_ = std::move(actor); }
  // An action that changes nothing here.
  Result<void> note_act(std::string act, std::string what);
  Result<std::vector<AuditEntry>> audit(const ports::AuditQuery& query) const { return store_.audit(query); }

  // Whether this key would be refused, checked before any effort is spent on it.
  bool is_revoked(const PublicKey& key) const;
  const Member* find_key(const PublicKey& key) const;
  // Removes the member: its address is free, its key is refused from now on. Errc::not_found if there is no such name.
  Result<Member> remove(std::string_view name);

  // Gives the member a name, which it keeps whatever its computer is called; durable. A name that the policy has and
  // nobody bears can be given, though not be joined with: the rules are for this member then. Errc::not_found,
  // Errc::in_use, Errc::invalid_argument.
  Result<Member> give_name(std::string_view name, std::string_view new_name);
  bool policy_has(const std::string& name) const { return policy_names_.contains(name); }

  // Grants the member further addresses, or revokes them; durable, like a removal. Errc::not_found if there is no such
  // member or grant, Errc::in_use for addresses of another member.
  Result<Member> grant(std::string_view name, const IpNetwork& range);
  Result<Member> revoke_grant(std::string_view name, const IpNetwork& range);
  // The same for every member, and for those that join later.
  Result<void> grant_all(const IpNetwork& range);
  Result<void> revoke_from_all(const IpNetwork& range);
  // Whether machines behind the member may have MACs and addresses of their own.
  Result<Member> permit(std::string_view name, Permission what, bool allowed);

  // The policy of the network (registry_policy.cc). The text is checked; an empty one ends the policy. Both are
  // durable. A change loses the signature of the network lock.
  const NetworkPolicy& policy() const { return policy_; }
  Result<void> set_policy(std::string text);
  // Whether the network lock covers the policy, or its end; nullopt: there is no lock, or never was a signed policy and
  // is none now.
  std::optional<bool> policy_signed() const;
  // The groups of the policy that the member is in from now on. Errc::not_found, Errc::invalid_argument.
  Result<Member> set_groups(std::string_view name, std::vector<std::string> groups);
  // Whether the policy changed after this version of the records.
  bool policy_changed_since(std::uint64_t version) const { return policy_version_ > version; }

  // Volatile: lost at a restart of the server.
  void set_online(MemberId id, bool online);
  void set_candidates(MemberId id, std::vector<Candidate> candidates);

  // When a member was last connected, in Unix seconds. keep_last_seen() makes these times durable, in one write for all
  // members; the caller does so from time to time.
  void saw(MemberId id, std::int64_t unix_time);
  std::optional<std::int64_t> last_seen(MemberId id) const;
  Result<void> keep_last_seen();

  // Removes the ephemeral members that left kKeepEphemeral ago, and any others that have been away for `keep` seconds
  // (0: none), in one write. Members that are online or have further addresses stay: a person granted those. The
  // removed keys are not revoked: they may come back as new members.
  struct Expired {
    Member member;
    std::int64_t away = 0;  // seconds
    bool ephemeral = false;
  };
  Result<std::vector<Expired>> expire(std::int64_t now, std::int64_t keep);
  // The clock was set by so many seconds, or stood while the computer slept: nobody was away for that time.
  void clock_jumped(std::int64_t by);
  bool is_ephemeral(MemberId id) const;
  // When expire() with this `keep` would remove the member, in Unix seconds, if it stays away; nullopt: never.
  std::optional<std::int64_t> expires_at(const Member& member, std::int64_t keep) const;

  // Members displaced by new ones since the last call (registry_seen.cc).
  struct Reclaimed {
    Member member;
    std::int64_t unseen_since = 0;  // Unix seconds
    std::int64_t away = 0;          // seconds, when it was displaced
  };
  std::vector<Reclaimed> take_reclaimed() { return std::exchange(reclaimed_, {}); }

  // epoch << 32 | number of changes: never decreases. The epoch is the configured floor, or one more than at the last
  // start if that is greater, so a server restored from a backup is ahead of everything it said before. A floor far
  // ahead of the last start comes from a wrong clock, and is ignored.
  std::uint64_t version() const { return version_; }
  // The whole list if `version` is of another epoch, or older than the tombstones.
  Delta delta_since(std::uint64_t version) const;
  // For clients of version 0.1: the digest of all stable fields (registry/list_digest.h), and the signature over it for
  // this version. After a change of a stable field it costs a pass over the whole list.
  const crypto::Hash& digest() const;
  const crypto::Signature& signature() const;

  // The same for the stable fields alone: their version is that of the last change of one of them.
  std::uint64_t records_version() const { return records_.newest(); }
  // The version from which a client with these records can continue; 0: from nothing. What counts is that the root is
  // known, so a restart of this server does not matter.
  std::uint64_t resume(std::uint64_t version, const crypto::Hash& root) const;
  // Stable fields of the members that changed since; ignore their volatile fields.
  Delta records_since(std::uint64_t version) const;
  const crypto::Hash& root() const { return tree_.root(); }
  // `recovery`: the one that the receiver counts from; a client without that feature knows only the first one.
  const crypto::Signature& records_signature(const RecoveryId& recovery) const;
  // The list begins anew, at a version that today's clock gives: for clients that hold one that this server never
  // reaches, as after somebody else signed one with its key. REQUIRES: no connected client has an earlier version.
  // Durable. Errc::invalid_argument: the clock is wrong.
  Result<void> recover(std::int64_t unix_time);
  const RecoveryId& recovery() const { return recovery_; }
  // For the client in this connection (control::Channel::binding()).
  crypto::Signature recovery_proof(const crypto::Hash& binding) const;
  // A client holds a version of this epoch that is newer than the records: it got that in the old form.
  void raise_records_version() { records_.begin_at(++version_); }

  // The same for the volatile fields: which members changed any of them, and which went online or offline.
  const ChangeLog& states() const { return states_; }
  const ChangeLog& presence() const { return presence_; }

 private:
  Registry(ports::Store& store, const RegistryConfig& config, Rng& rng);
  Result<void> load_or_create(const ports::StoredState& state);
  Result<void> adopt_members(std::vector<Member> members);
  void load_ephemeral(const ports::StoredState& state);
  void load_last_seen(const ports::StoredState& state);
  std::optional<std::string> owner_of(const IpNetwork& range) const;
  Result<Member> set_grants(const Member& member, Grants grants);
  Result<void> set_grants_of_all(std::vector<IpNetwork> ranges, const IpNetwork& changed);
  bool has_grants_of_its_own(const Member& member) const;
  void sign_grants(Member& member) const;
  Result<void> load_lock(const ports::StoredState& state);
  Result<void> check_marks(const LockChain& chain, const LockChange& change) const;
  Result<void> take_lock(LockChain chain, const std::map<MemberId, LockMark>& marks, const NetworkPolicy& policy,
                         std::vector<AuditEntry> acts);
  void load_policy(const ports::StoredState& state);
  void policy_changed(NetworkPolicy policy);
  void note_policy_names();
  Result<void> check_policy_mark(const LockChain& chain, const LockChange& change) const;
  void forget_mark(const Member& member, ports::StoreChange& change) const;
  void load_given_names(const ports::StoredState& state);
  bool keeps_name(const Member& member) const;
  void gather_grants();
  void reserve(const Grants& grants);
  void unreserve(const Grants& grants);
  std::optional<IpNetwork> granted(std::uint32_t ip) const;
  std::optional<Ip4> not_granted(std::optional<Ip4> ip) const;
  std::optional<Ip4> free_address() const;
  Mac free_mac() const;
  std::optional<Refusal> no_room(bool has_address) const;
  std::optional<Refusal> may_not_join(const JoinRequest& request);
  // `approval`: the administrator's action that admits it.
  Joined enrol(const JoinRequest& request, std::optional<AuditEntry> approval);
  Refusal wait_for_approval(const JoinRequest& request);
  std::vector<PendingJoin>::iterator find_pending(std::string_view name);
  std::string unique_name(std::string_view wish, MemberId owner);
  Delta since(const ChangeLog& changes, std::uint64_t version, std::uint64_t now) const;
  // A join that is done in memory, but not in the store yet.
  struct Staged {
    Joined result;
    bool added = false;
    std::string old_name = {};             // if its name has changed
    std::optional<JoinKey> used_key = {};  // its state before
    std::optional<Reclaimed> gave_way = {};
  };
  Staged stage(const JoinRequest& request, ports::StoreChange& change);
  void skip_numbers();
  AuditEntry by_actor(std::string act, std::string what) const;
  AuditEntry key_entry(std::string act, const JoinKey& key, const JoinKeyWish& wish) const;
  AuditEntry join_entry(const JoinRequest& request, const Member& member) const;
  Staged stage_new(const JoinRequest& request, ports::StoreChange& change);
  std::vector<Joined> finish(std::vector<Staged> staged, ports::StoreChange change);
  void unstage(const Staged& staged);
  std::optional<Reclaimed> make_room(std::int64_t now) const;
  void tell_removed(MemberId id);
  void put(const Member& member);
  void erase(const Member& member);
  void rename(Member& member, const std::string& name);
  std::uint64_t first_version(std::uint64_t stored_epoch) const;
  Result<void> commit(ports::StoreChange change);
  void touch(MemberId id) { changes_.touch(id, ++version_); }
  // REQUIRES: touch() before.
  void stable_fields_changed(const Member& member);

  ports::Store& store_;
  ports::StoreChange unsaved_;  // written with the next change
  RegistryConfig config_;
  Rng& rng_;
  Identity identity_;
  PublicKey signing_key_;
  NetworkInfo network_;
  std::map<MemberId, Member> members_;
  std::unordered_map<PublicKey, MemberId> by_key_;
  std::unordered_map<std::string, MemberId> by_name_;
  // For wishes that others had before: all lower numbers are taken.
  std::unordered_map<std::string, int> next_number_;
  std::unordered_set<Mac> macs_;
  FreeAddresses free_;
  // To any member, within the network: never assigned as a member's own address. With the number of members.
  std::map<IpNetwork, std::size_t> granted_;
  std::vector<IpNetwork> for_all_;  // granted to every member
  std::unordered_set<PublicKey> revoked_;
  JoinKeys join_keys_;
  std::vector<PendingJoin> pending_;
  LockChain lock_;
  struct LockProposal {
    LockChain chain;
    std::map<MemberId, LockMark> marks;
    NetworkPolicy policy;  // with its signature; sequence 0: it is not signed
  };
  std::map<MemberId, LockProposal> lock_proposals_;             // by who made it
  mutable std::unordered_map<MemberId, NotSigned> not_signed_;  // as far as it was asked for since the last change
  // When a member was here, in Unix seconds; 0: unknown.
  struct Presence {
    std::int64_t joined = 0, last_seen = 0;
    std::int64_t since = 0;  // the start of its absence, as far as is known
    bool ephemeral = false;
  };
  std::map<MemberId, Presence> presence_kept_;
  std::int64_t started_ = config_.started_at;  // Unix seconds, by today's clock
  bool last_seen_changed_ = false;
  std::set<MemberId> returning_;  // in the current batch of joins
  std::vector<Reclaimed> reclaimed_;
  ChangeLog changes_;   // of all fields
  ChangeLog records_;   // of the stable ones
  ChangeLog states_;    // of the volatile ones
  ChangeLog presence_;  // of `online`
  MerkleTree tree_;
  NetworkPolicy policy_;
  std::optional<crypto::Hash> policy_signed_by_;  // see kPolicySignedBy
  std::unordered_set<std::string> policy_names_;  // of members, in it
  std::set<MemberId> given_names_;                // whose name an administrator gave
  std::uint64_t policy_version_ = 0;
  crypto::Hash root_at_start_{};
  std::deque<std::pair<std::uint64_t, MemberId>> tombstones_;  // removed at version, oldest first
  std::uint64_t oldest_delta_ = 0;                             // deltas reach back to this version
  std::optional<Error> unsaved_why_;                           // from the start
  Actor actor_;
  std::uint32_t next_id_ = 1;
  bool from_store_ = false;  // and no number was assigned since the start
  std::uint64_t version_ = 0;
  RecoveryId recovery_{};
  // Computed on demand, once per change or version.
  mutable std::optional<crypto::Hash> digest_;
  mutable crypto::Signature signature_{};
  mutable std::uint64_t signed_version_ = 0;
  struct RecordsSignature {
    crypto::Signature signature{};
    std::uint64_t version = 0;
  };
  mutable std::map<RecoveryId, RecordsSignature> records_signatures_;  // of the present and the first one
};

}  // namespace eps::registry
