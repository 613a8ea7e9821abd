// SPDX-License-Identifier: MIT
#include "node/peer_set.h"

#include <algorithm>

namespace eps::node {

std::optional<MemberId> PeerSet::owner_of(const PublicKey& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? std::nullopt : std::optional(it->second);
}

void PeerSet::put(const MemberMap::Record& record) {
  by_key_.insert_or_assign(record->key, record->id);
  members_.put(record);
}

void PeerSet::erase(MemberId id) {
  if (const auto it = awake_.find(id); it != awake_.end()) {
    std::erase(touched_, &it->second);
    timers_.erase({it->second.timer_at, id});
    live_.erase(id);
    met_.erase(id);
    awake_.erase(it);
  }
  const Member* member = members_.find(id);
  if (member == nullptr) return;
  // Another member may have it by now.
  if (owner_of(member->key) == id) by_key_.erase(member->key);
  members_.erase(id);
}

const Peer* PeerSet::awake(MemberId id) const {
  const auto it = awake_.find(id);
  return it == awake_.end() ? nullptr : &it->second;
}

PeerSet::Found PeerSet::find(MemberId id) {
  auto it = awake_.find(id);
  const bool woke = it == awake_.end();
  if (woke) {
    const Member* silent = members_.find(id);
    if (silent == nullptr) return {};
    it = awake_.try_emplace(id, *silent, rng_).first;
  }
  touch(it->second);
  return {&it->second, woke};
}

void PeerSet::touch(Peer& peer) {
  if (std::exchange(peer.touched, true)) return;
  touched_.push_back(&peer);
  live_.emplace(peer.member.id, &peer);
}

void PeerSet::settle(Peer& peer, Instant deadline) {
  const MemberId id = peer.member.id;
  if (deadline != peer.timer_at) {
    timers_.erase({peer.timer_at, id});
    if (deadline != kNever) timers_.emplace(deadline, id);
    peer.timer_at = deadline;
  }
  if (deadline != kNever) return;
  live_.erase(id);
  const bool nothing_to_remember = !met_.contains(id) && peer.sessions.untried() && peer.waiting.empty() &&
                                   !peer.kept && peer.needed_at == Instant{} && peer.last_unknown_session == Instant{};
  if (nothing_to_remember) awake_.erase(id);
}

std::vector<MemberId> PeerSet::due(Instant now) const {
  std::vector<MemberId> out;
  for (const auto& [at, id] : timers_) {
    if (at > now) break;
    out.push_back(id);
  }
  std::ranges::sort(out);
  return out;
}

}  // namespace eps::node
