// SPDX-License-Identifier: MIT
#pragma once

// The network lock through the status sockets of both daemons: what there is to sign, and what was signed. The keys
// stay with the `eps` tool.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "model/network_lock.h"
#include "node/client_node.h"
#include "registry/network_lock.h"
#include "registry/registry.h"

namespace eps::runtime {

// Of one member, as the daemon judges it.
struct LockStanding {
  bool counts = false;
  std::string why;                  // it does not
  std::uint64_t next_sequence = 1;  // of a signature that is newer than all that the daemon knows
  bool removed = false;             // node::LockGuard::saw_removal_of()
};

// {"ok": true, "network": {...}, "entries": [hex ...], "members": [{...} ...], "policy": {...}},
// and of a client "answer", the server's to the last change.
nlohmann::json lock_report(const node::ClientNode& node);
nlohmann::json lock_report(const registry::Registry& registry);

// What the tool reads of that; throws nlohmann::json::exception for what is no such report.
struct LockReport {
  NetworkInfo network;
  registry::LockChain chain;
  struct Entry {
    Member member;
    LockStanding standing;
  };
  std::vector<Entry> members;
  NetworkPolicy policy;  // the server's
  bool policy_counts = false;
  std::uint64_t next_policy_sequence = 1;
};
Result<LockReport> read_lock_report(const nlohmann::json& report);

nlohmann::json to_json(const LockChange& change);
// nullopt: it is none, or breaks a limit.
std::optional<LockChange> lock_change_of(const nlohmann::json& request);

}  // namespace eps::runtime
