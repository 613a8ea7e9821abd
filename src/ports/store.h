// SPDX-License-Identifier: MIT
#pragma once

// The server's durable state. A write that returned success survives a power failure.

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/audit.h"
#include "model/join_key.h"
#include "model/network.h"

namespace eps::ports {

struct StoredState {
  std::vector<Member> members;     // stable fields only; volatile ones at their defaults
  std::vector<PublicKey> revoked;  // keys of removed members, which are refused
  std::vector<JoinKey> join_keys;
  std::map<std::string, Bytes> meta;  // identity, network id, counters: names belong to the registry
};

// One atomic change: either all of it is durable, or none.
struct StoreChange {
  std::vector<Member> put_members;
  std::vector<MemberId> remove_members;
  std::vector<PublicKey> revoke;
  std::vector<PublicKey> unrevoke;
  std::vector<JoinKey> put_join_keys;
  std::vector<std::uint32_t> remove_join_keys;
  std::map<std::string, Bytes> put_meta;
  std::vector<AuditEntry> audit;  // the audit entries of the change; the store assigns their ids
};

struct AuditQuery {
  std::uint64_t after = 0;              // entries with a greater id
  std::int64_t since = 0;               // of this time or later
  std::size_t limit = kMaxAuditAnswer;  // the oldest of them
};

// Thread rules: one thread at a time.
class Store {
 public:
  virtual ~Store() = default;
  virtual Result<StoredState> load() = 0;
  virtual Result<void> commit(const StoreChange& change) = 0;
  // The audit record, oldest first.
  virtual Result<std::vector<AuditEntry>> audit(const AuditQuery& query) = 0;
};

}  // namespace eps::ports
