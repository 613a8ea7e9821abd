// SPDX-License-Identifier: MIT

// The names of members: wished by their computers, made unique here, or given by an administrator.

#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {

// A name that an administrator gave, or that the network lock signed, is the member's until it is given or signed
// another. One that the policy has is the member's as long as the policy has it: a computer chooses its name itself,
// and would choose what it may do.
bool Registry::keeps_name(const Member& member) const {
  return given_names_.contains(member.id) || (lock_.on() && member.lock.sequence != 0) || policy_has(member.name);
}

std::string Registry::unique_name(std::string_view wish, MemberId owner) {
  if (const Member* m = find(owner)) {
    if (keeps_name(*m)) return m->name;
    // An assigned number stays even if the plain name has become free: people and scripts rely on names.
    if (m->name == wish || is_numbered(m->name, wish)) return m->name;
  }
  const auto taken = [&](const std::string& name) { return by_name_.contains(name) || policy_has(name); };
  std::string name(wish);
  if (!taken(name)) return name;
  int& n = next_number_.try_emplace(name, 2).first->second;
  for (;; ++n) {
    std::string next = numbered(wish, std::to_string(n));
    if (!taken(next)) return next;
  }
}

void Registry::rename(Member& member, const std::string& name) {
  if (const auto it = by_name_.find(member.name); it != by_name_.end() && it->second == member.id) by_name_.erase(it);
  next_number_.clear();
  member.name = name;
  by_name_.emplace(name, member.id);
}

Result<Member> Registry::give_name(std::string_view name, std::string_view new_name) {
  const Member* found = find_name(name);
  if (found == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  const std::string given(new_name);
  if (make_valid_name(given) != given) {
    return make_error(Errc::invalid_argument, "That is not a valid name for a member: 1 to " +
                                                  std::to_string(kMaxNameSize) +
                                                  " letters, digits, dots, - and _, with a letter or digit among them");
  }
  if (const Member* other = find_name(given); other != nullptr && other != found) {
    return make_error(Errc::in_use, "The name " + given + " is that of another member, " + described(*other) +
                                        ": remove or rename that one first");
  }
  Member member = *found;
  member.name = given;
  ports::StoreChange change;
  change.put_members.push_back(member);
  change.put_meta[kNameOf + std::to_string(member.id.value)] = Bytes(as_view(given).begin(), as_view(given).end());
  change.audit.push_back(by_actor("rename", described(*found) + " is called " + given + " now"));
  if (auto stored = commit(std::move(change)); !stored) return stored.error();
  Member& changed = members_.at(member.id);
  rename(changed, given);
  given_names_.insert(changed.id);
  touch(changed.id);
  stable_fields_changed(changed);
  return changed;
}

// One that a server of version 0.1 has changed since is the computer's own choice again.
void Registry::load_given_names(const ports::StoredState& state) {
  for (const Member& m : state.members) {
    const auto kept = state.meta.find(kNameOf + std::to_string(m.id.value));
    if (kept != state.meta.end() && as_text(kept->second) == m.name) given_names_.insert(m.id);
  }
}

}  // namespace eps::registry
