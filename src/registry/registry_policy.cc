// SPDX-License-Identifier: MIT

// The network's policy, and the groups that members are in: stored by the registry, signed with the list.

#include <algorithm>

#include "policy/policy.h"
#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {

Bytes encode_groups(const std::vector<std::string>& groups) {
  Bytes out;
  Writer w(out);
  for (const std::string& group : groups) {
    if (!out.empty()) w.bytes(as_view(","));
    w.bytes(as_view(group));
  }
  return out;
}

std::vector<std::string> decode_groups(ByteView bytes) {
  std::vector<std::string> out;
  for (std::string_view rest = as_text(bytes); !rest.empty();) {
    const std::string_view group = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), group.size() + 1));
    if (valid_group(group) && out.size() < kMaxMemberGroups) out.emplace_back(group);
  }
  return out;
}

Bytes encode_policy(const NetworkPolicy& policy) {
  Bytes out;
  if (!policy.any()) return out;
  Writer w(out);
  w.u64(policy.sequence);
  w.bytes(policy.signature);
  w.bytes(as_view(policy.text));
  return out;
}

Result<std::vector<std::string>> checked_groups(std::vector<std::string> groups) {
  std::ranges::sort(groups);
  const auto repeated = std::ranges::unique(groups);
  groups.erase(repeated.begin(), repeated.end());
  for (const std::string& group : groups) {
    if (valid_group(group)) continue;
    return make_error(Errc::invalid_argument, "that is not a valid name for a group: 1 to " +
                                                  std::to_string(kMaxGroupName) +
                                                  " lower-case letters, digits, - and _, several with commas");
  }
  if (groups.size() > kMaxMemberGroups) {
    return make_error(Errc::exhausted, "a member can be in " + std::to_string(kMaxMemberGroups) + " groups at most");
  }
  return groups;
}

// As it was checked when it was set. A newer version's policy is handed on as it is: clients that cannot read it let
// nothing pass.
void Registry::load_policy(const ports::StoredState& state) {
  const auto kept = state.meta.find(kPolicy);
  if (kept != state.meta.end() && !kept->second.empty()) {
    Reader r(kept->second);
    policy_.sequence = r.u64();
    policy_.signature = r.array<64>();
    policy_.text = as_text(r.bytes(r.remaining()));
  }
  if (const auto by = state.meta.find(kPolicySignedBy); by != state.meta.end() && by->second.size() == 32) {
    policy_signed_by_ = Reader(by->second).array<32>();
  }
  tree_.put(policy_);
  note_policy_names();
  for (const auto& [id, known] : join_keys_.all()) {
    const auto groups = state.meta.find(kKeyGroupsOf + std::to_string(id));
    if (groups == state.meta.end() || groups->second.empty()) continue;
    JoinKey key = known;
    key.groups = decode_groups(groups->second);
    join_keys_.put(key);
  }
}

Result<void> Registry::set_policy(std::string text) {
  std::string what = "the policy has ended: everything is allowed";
  if (!text.empty()) {
    const auto policy = policy::Policy::parse(text);
    if (!policy) return policy.error();
    for (const std::string& name : policy->members_named()) {
      if (find_name(name) != nullptr) continue;
      return make_error(Errc::not_found,
                        "the policy names \"" + name +
                            "\", and no member is called that: let the computer join first (nobody can "
                            "take a name that the policy has), or give the right to a group");
    }
    what = "the policy has " + std::to_string(policy->rules().size()) + " rules";
  }
  if (text == policy_.text) return {};
  const NetworkPolicy next{std::move(text), 0, {}};
  ports::StoreChange change;
  change.put_meta[kPolicy] = encode_policy(next);
  change.audit.push_back(by_actor("policy", what));
  const bool was_signed = lock_.on() && is_policy_signed(lock_, policy_);
  if (was_signed) change.put_meta[kPolicySignedBy] = Bytes(lock_.id().begin(), lock_.id().end());
  if (auto stored = commit(std::move(change)); !stored) return stored;
  if (was_signed) policy_signed_by_ = lock_.id();
  policy_changed(next);
  return {};
}

std::optional<bool> Registry::policy_signed() const {
  const bool never_was_one = policy_.text.empty() && policy_signed_by_ != lock_.id();
  if (!lock_.on() || never_was_one) return std::nullopt;
  return is_policy_signed(lock_, policy_);
}

void Registry::policy_changed(NetworkPolicy policy) {
  policy_ = std::move(policy);
  tree_.put(policy_);
  note_policy_names();
  policy_version_ = ++version_;
  records_.begin_at(version_);
}

void Registry::note_policy_names() {
  policy_names_.clear();
  const auto policy = policy::Policy::parse(policy_.text);
  if (!policy) return;
  for (std::string& name : policy->members_named()) policy_names_.insert(std::move(name));
}

Result<void> Registry::check_policy_mark(const LockChain& chain, const LockChange& change) const {
  if (change.policy_sequence == 0) return {};
  if (chain.id() == lock_.id() && change.policy_sequence <= policy_.sequence) {
    return make_error(Errc::invalid_argument, "the policy has a signature as new as this one");
  }
  if (is_policy_signed(chain, {policy_.text, change.policy_sequence, change.policy_signature})) return {};
  return make_error(Errc::corrupt,
                    "the signature of the policy does not fit: the policy changed meanwhile, or its signer is none of "
                    "the lock's");
}

Result<Member> Registry::set_groups(std::string_view name, std::vector<std::string> wish) {
  const Member* member = find_name(name);
  if (member == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  auto groups = checked_groups(std::move(wish));
  if (!groups) return groups.error();
  if (*groups == member->groups) return *member;
  ports::StoreChange change;
  const Bytes all = encode_groups(*groups);
  change.audit.push_back(by_actor(
      "groups", described(*member) + (all.empty() ? " is in no group" : " is in: " + std::string(as_text(all)))));
  change.put_meta[kGroupsOf + std::to_string(member->id.value)] = all;
  if (auto stored = commit(std::move(change)); !stored) return stored.error();
  Member& changed = members_.at(member->id);
  changed.groups = std::move(*groups);
  touch(changed.id);
  stable_fields_changed(changed);
  return changed;
}

}  // namespace eps::registry
