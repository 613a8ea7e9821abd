// SPDX-License-Identifier: MIT

// The policy within node::Peers.

#include <tuple>

#include "node/peers.h"

namespace eps::node {

void Peers::set_policy(const NetworkPolicy& policy, const Member& self) {
  if (!policy_.set(policy, self)) return;
  // They name rules of the policy before.
  for (const auto& [id, peer] : peers_.met()) {
    peer->activity->policy_drop_out.store(0, std::memory_order_relaxed);
    peer->activity->policy_drop_in.store(0, std::memory_order_relaxed);
  }
}

void Peers::on(dataplane::PolicyDropped& dropped, Instant now) {
  const Member* peer = member(dropped.peer);
  if (peer == nullptr) return;
  if (auto sentence = policy_.tell(dropped, *peer, now)) notes_.push_back(std::move(*sentence));
}

PeerStatus Peers::with_policy(PeerStatus status, const Peer& peer) const {
  const auto& [out, in] = std::tie(peer.activity->policy_drop_out, peer.activity->policy_drop_in);
  const std::string& other = peer.member.name;
  for (auto& sentence : {policy_.last_drop(out.load(std::memory_order_relaxed), self_.name, other),
                         policy_.last_drop(in.load(std::memory_order_relaxed), other, self_.name)}) {
    if (!sentence.empty()) status.policy_drops.push_back(sentence);
  }
  return status;
}

void Peers::flush_waiting(Peer& peer, Instant now) {
  if (!peer.waiting.empty()) waiting_.flush(peer.waiting, self_.mac, ruled(peer), now, policy_.in_force().get());
}

}  // namespace eps::node
