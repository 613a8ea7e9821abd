// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <map>

#include "ports/store.h"

namespace eps::test {

// The Store for tests and the simulation. It outlives the server that uses it, like a disk.
class MemoryStore final : public ports::Store {
 public:
  Result<ports::StoredState> load() override {
    ports::StoredState out = state_;
    for (const auto& [id, member] : members_) out.members.push_back(member);
    return out;
  }

  Result<void> commit(const ports::StoreChange& change) override {
    if (fail) return make_error(Errc::unavailable, "the disk is full (injected)");
    ++commits;
    for (const MemberId id : change.remove_members) members_.erase(id);
    for (const Member& member : change.put_members) members_.insert_or_assign(member.id, member);
    for (const PublicKey& key : change.unrevoke) std::erase(state_.revoked, key);
    for (const PublicKey& key : change.revoke) state_.revoked.push_back(key);
    for (const std::uint32_t id : change.remove_join_keys) {
      std::erase_if(state_.join_keys, [&](const JoinKey& k) { return k.id == id; });
    }
    for (const JoinKey& key : change.put_join_keys) {
      std::erase_if(state_.join_keys, [&](const JoinKey& k) { return k.id == key.id; });
      state_.join_keys.push_back(key);
    }
    for (const auto& [name, value] : change.put_meta) state_.meta[name] = value;
    for (AuditEntry entry : change.audit) {
      entry.id = audit_.size() + 1;
      audit_.push_back(std::move(entry));
    }
    return {};
  }

  Result<std::vector<AuditEntry>> audit(const ports::AuditQuery& query) override {
    std::vector<AuditEntry> out;
    for (const AuditEntry& entry : audit_) {
      if (entry.id > query.after && entry.unix_time >= query.since && out.size() < query.limit) out.push_back(entry);
    }
    return out;
  }

  bool fail = false;
  int commits = 0;

 private:
  ports::StoredState state_;  // but for the members
  std::map<MemberId, Member> members_;
  std::vector<AuditEntry> audit_;
};

}  // namespace eps::test
