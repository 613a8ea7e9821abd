// SPDX-License-Identifier: MIT
#pragma once

// The policy that this client enforces, and what each peer may do by it. Without a policy there is nothing here, and
// frames pass unseen.
//
// A policy that this version cannot read, a newer one's, lets nothing pass: it is unknown what it forbids.
//
// Sans I/O. Thread rules: one thread at a time; what it gives out is for workers.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "dataplane/flow_guard.h"
#include "dataplane/upcall.h"
#include "model/network.h"
#include "model/status.h"

namespace eps::node {

// The log mentions a rule that drops frames of the same peer again after this long.
inline constexpr Duration kTellPolicyAgain = std::chrono::minutes(10);

class PolicyKeeper {
 public:
  explicit PolicyKeeper(Rng& rng) : rng_(rng) {}

  // True: something changed, and with it what all peers may do. `self`: this computer's record.
  bool set(const NetworkPolicy& policy, const Member& self);
  // The name or the groups of a peer changed.
  void peer_changed(const Member& before, const Member& after);
  void forget(MemberId peer) { rules_.erase(peer); }

  // Null: there is no policy.
  const std::shared_ptr<const dataplane::PolicyInForce>& in_force() {
    if (stale_) renew(true);
    return in_force_;
  }
  // Null exactly if there is none.
  std::shared_ptr<const dataplane::PeerRules> rules_for(const Member& peer);

  // A sentence for the log, at most once per rule, peer and direction in a while.
  std::optional<std::string> tell(const dataplane::PolicyDropped& dropped, const Member& peer, Instant now);
  // "" if no rule has dropped anything yet. `last`: PeerActivity::policy_drop_out or policy_drop_in.
  std::string last_drop(std::uint32_t last, const std::string& from, const std::string& to) const;
  std::optional<PolicyStatus> status() const;

 private:
  void renew(bool same);

  Rng& rng_;
  NetworkPolicy source_;
  std::string self_name_;
  std::vector<std::string> self_groups_;
  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<dataplane::FlowTable> flows_;
  std::uint16_t generation_ = 0;
  std::shared_ptr<const dataplane::PolicyInForce> in_force_;
  std::map<MemberId, std::shared_ptr<const dataplane::PeerRules>> rules_;
  std::map<std::tuple<MemberId, dataplane::Heading, std::uint16_t>, Instant> told_;
  std::string trouble_;
  bool stale_ = false;  // a peer has changed
};

}  // namespace eps::node
