// SPDX-License-Identifier: MIT
#include "node/peer_set.h"

#include <algorithm>

namespace eps::node {

std::vector<MemberMap::Record>::const_iterator PeerSet::place(const PublicKey& key) const {
  return std::ranges::lower_bound(
      by_key_, key, {}, [](const MemberMap::Record& r) -> const auto& { return r->key; });
}

std::optional<MemberId> PeerSet::owner_of(const PublicKey& key) const {
  const auto it = place(key);
  return it == by_key_.end() || (*it)->key != key ? std::nullopt : std::optional((*it)->id);
}

void PeerSet::put(const MemberMap::Record& record) {
  if (const Member* before = members_.find(record->id); before != nullptr && before->key != record->key) {
    forget_key(*before);
  }
  const auto it = place(record->key);
  if (it == by_key_.end() || (*it)->key != record->key) {
    by_key_.insert(it, record);
  } else {
    by_key_[static_cast<std::size_t>(it - by_key_.begin())] = record;
  }
  members_.put(record);
}

void PeerSet::forget_key(const Member& member) {
  // Another member may have it by now.
  if (owner_of(member.key) == member.id) by_key_.erase(place(member.key));
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
  forget_key(*member);
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
