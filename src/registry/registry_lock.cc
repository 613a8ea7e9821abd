// SPDX-License-Identifier: MIT

// The network lock as the server keeps it: the chain and the members' marks, which it can check but not make.

#include <algorithm>

#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {
namespace {

constexpr std::size_t kNamesTold = 8;

// What a new entry did, for log and record; one act for each.
std::pair<std::string, std::string> told(const LockChain& before, const LockChain& after) {
  if (!before.on()) return {"lock on", "the network lock " + lock_id_text(after.id()) + " is on"};
  if (!after.on())
    return {"lock off", "the network lock " + lock_id_text(after.id()) + " has ended by one of its secrets"};
  const bool comes = after.signers().size() > before.signers().size();
  const auto& larger = comes ? after.signers() : before.signers();
  const auto& smaller = comes ? before.signers() : after.signers();
  const auto which = std::ranges::find_if(
      larger, [&](const PublicKey& key) { return std::ranges::find(smaller, key) == smaller.end(); });
  return {"lock signer", signer_text(*which) + (comes ? " is a signer" : " is no longer a signer") +
                             " of the network lock " + lock_id_text(after.id())};
}

std::string sentence_of(const std::vector<AuditEntry>& acts) {
  std::string out;
  for (const AuditEntry& act : acts) out += (out.empty() ? "" : "; ") + act.what;
  return out;
}

}  // namespace

Result<void> Registry::load_lock(const ports::StoredState& state) {
  const auto kept = state.meta.find(kLockChain);
  if (kept == state.meta.end()) return {};
  auto chain = decode_chain(network_.id, kept->second);
  if (!chain) {
    return make_error(Errc::corrupt, "The server's state holds a network lock that does not verify (" +
                                         chain.error().what + "): restore the state directory from a backup.");
  }
  lock_ = std::move(*chain);
  return {};
}

void Registry::forget_mark(const Member& member, ports::StoreChange& change) const {
  if (given_names_.contains(member.id)) change.put_meta[kNameOf + std::to_string(member.id.value)] = {};
  if (!member.groups.empty()) change.put_meta[kGroupsOf + std::to_string(member.id.value)] = {};
  if (member.lock.sequence != 0) change.put_meta[kLockMarkOf + std::to_string(member.id.value)] = {};
}

NotSigned Registry::not_signed(const Member& member) const {
  if (!lock_.on()) return NotSigned::nothing;
  const auto [it, unknown] = not_signed_.try_emplace(member.id);
  if (unknown) {
    it->second = !is_record_signed(lock_, network_, member) ? NotSigned::record
                 : !are_grants_signed(lock_, member)        ? NotSigned::grants
                                                            : NotSigned::nothing;
  }
  return it->second;
}

Result<void> Registry::check_marks(const LockChain& chain, const LockChange& change) const {
  for (const auto& [id, mark] : change.marks) {
    const Member* found = find(id);
    if (found == nullptr) return make_error(Errc::not_found, "there is no member " + std::to_string(id.value));
    Member member = *found;
    if (chain.id() == lock_.id() && mark.sequence <= member.lock.sequence) {
      return make_error(Errc::invalid_argument, member.name + " has a signature as new as this one");
    }
    member.lock = mark;
    const bool grants = are_grants_signed(chain, member) || mark.grants == std::array<std::byte, 64>{};
    if (!is_record_signed(chain, network_, member) || !grants) {
      return make_error(Errc::corrupt, "the signature of " + described(member) +
                                           " does not fit its record: it changed meanwhile, or its signer is none of "
                                           "the lock's");
    }
  }
  return {};
}

Result<std::string> Registry::change_lock(const LockChange& change, std::optional<MemberId> from) {
  LockChain next = lock_;
  std::vector<AuditEntry> acts;
  std::span<const Bytes> entries = change.entries;
  // A server whose state is older than the lock is sent the whole chain.
  const std::vector<Bytes>& known = lock_.entries();
  const bool whole = entries.size() >= known.size() && std::equal(known.begin(), known.end(), entries.begin());
  if (whole) entries = entries.subspan(known.size());
  for (const Bytes& entry : entries) {
    const LockChain before = next;
    if (auto ok = next.append(network_.id, entry); !ok) return ok.error();
    auto [act, what] = told(before, next);
    acts.push_back(by_actor(std::move(act), std::move(what)));
  }
  std::map<MemberId, LockMark> marks(change.marks.begin(), change.marks.end());
  NetworkPolicy signed_policy{policy_.text, change.policy_sequence, change.policy_signature};
  const auto proposed = from ? lock_proposals_.find(*from) : lock_proposals_.end();
  if (from && next.id() != lock_.id()) {
    if (!next.on()) return make_error(Errc::invalid_argument, "this network lock has ended, and the server has none");
    if (auto ok = check_marks(next, change); !ok) return ok.error();
    if (auto ok = check_policy_mark(next, change); !ok) return ok.error();
    if (proposed == lock_proposals_.end() && lock_proposals_.size() >= kMaxLockProposals) {
      return make_error(Errc::exhausted, "too many members propose a network lock; restart eps-server to forget them");
    }
    const std::string id = lock_id_text(next.id());
    lock_proposals_.insert_or_assign(*from, LockProposal{std::move(next), std::move(marks), signed_policy});
    return "the network lock " + id + " is proposed; on the server: eps lock accept " + id;
  }
  if (proposed != lock_proposals_.end() && change.entries.empty() && change.lock == proposed->second.chain.id()) {
    if (auto ok = check_marks(proposed->second.chain, change); !ok) return ok.error();
    if (auto ok = check_policy_mark(proposed->second.chain, change); !ok) return ok.error();
    for (const auto& [id, mark] : marks) proposed->second.marks.insert_or_assign(id, mark);
    if (change.policy_sequence != 0) proposed->second.policy = signed_policy;
    return std::to_string(marks.size()) + " signatures are kept until the network lock is accepted";
  }
  if (!marks.empty()) {
    if (!next.on() || change.lock != next.id()) {
      return make_error(Errc::invalid_argument, "these signatures are of another network lock than the one that is on");
    }
    if (auto ok = check_marks(next, change); !ok) return ok.error();
    std::string names;
    std::size_t n = 0;
    for (const auto& [id, mark] : marks) {
      if (++n <= kNamesTold) names += (names.empty() ? "" : ", ") + described(members_.at(id));
    }
    if (n > kNamesTold) names += " and " + std::to_string(n - kNamesTold) + " more";
    acts.push_back(by_actor("lock sign", names + (n == 1 ? " is" : " are") + " signed"));
  }
  if (change.policy_sequence != 0) {
    if (!next.on() || change.lock != next.id()) {
      return make_error(Errc::invalid_argument, "this signature is of another network lock than the one that is on");
    }
    if (auto ok = check_policy_mark(next, change); !ok) return ok.error();
    acts.push_back(by_actor("lock sign", "the policy is signed"));
  }
  if (acts.empty()) return make_error(Errc::invalid_argument, "nothing was to be changed");
  const std::string sentence = sentence_of(acts);
  if (change.policy_sequence == 0) signed_policy = policy_;
  if (auto taken = take_lock(std::move(next), marks, signed_policy, std::move(acts)); !taken) return taken.error();
  return sentence;
}

Result<std::string> Registry::accept_lock(std::string_view id) {
  const auto found = std::ranges::find_if(
      lock_proposals_, [&](const auto& proposal) { return lock_id_text(proposal.second.chain.id()) == id; });
  if (found == lock_proposals_.end()) {
    return make_error(Errc::not_found, "no member proposes a network lock \"" + std::string(id) +
                                           "\": run eps lock init there, and compare what it prints");
  }
  LockProposal proposal = found->second;
  if (!proposal.chain.continues(lock_)) {
    return make_error(Errc::in_use,
                      "the network lock has changed since this one was proposed: run eps lock init again");
  }
  // Who has changed since is to be signed again.
  std::erase_if(proposal.marks, [&](const auto& signed_member) {
    const Member* known = find(signed_member.first);
    if (known == nullptr) return true;
    Member member = *known;
    member.lock = signed_member.second;
    return !is_record_signed(proposal.chain, network_, member);
  });
  const std::string what = "the network lock " + std::string(id) + " is on, " + std::to_string(proposal.marks.size()) +
                           " of " + std::to_string(members_.size()) + " members are signed";
  std::vector<AuditEntry> acts = {
      by_actor("lock on", what + "; its signer is " + signer_text(proposal.chain.signers().front()))};
  if (proposal.policy.sequence == 0 || proposal.policy.text != policy_.text) proposal.policy = policy_;
  if (auto taken = take_lock(std::move(proposal.chain), proposal.marks, proposal.policy, std::move(acts)); !taken) {
    return taken.error();
  }
  return what;
}

// Durable first. Everybody is to hear of it, also where only the chain changed.
Result<void> Registry::take_lock(LockChain chain, const std::map<MemberId, LockMark>& marks,
                                 const NetworkPolicy& policy, std::vector<AuditEntry> acts) {
  ports::StoreChange change;
  if (chain.entries().size() != lock_.entries().size()) change.put_meta[kLockChain] = encode_chain(chain);
  for (const auto& [id, mark] : marks) change.put_meta[kLockMarkOf + std::to_string(id.value)] = encode_mark(mark);
  if (policy != policy_) change.put_meta[kPolicy] = encode_policy(policy);
  change.audit = std::move(acts);
  if (auto stored = commit(std::move(change)); !stored) return stored;
  if (chain.id() != lock_.id()) lock_proposals_.clear();
  lock_ = std::move(chain);
  not_signed_.clear();
  for (const auto& [id, mark] : marks) {
    Member& member = members_.at(id);
    member.lock = mark;
    touch(id);
    stable_fields_changed(member);
  }
  if (policy != policy_) policy_changed(policy);
  raise_records_version();
  return {};
}

}  // namespace eps::registry
