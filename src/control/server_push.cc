// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iterator>

#include "control/server.h"

namespace eps::control {
namespace {
constexpr unsigned kChunkBits = 6;  // of ids
static_assert((std::size_t{1} << kChunkBits) <= wire::kMaxMembersPerDelta);
static_assert(registry::kMaxTombstones <= wire::kMaxRemovedPerDelta);

// Calls `visit(begin, end, last)` for parts of at most `size`; once if there is nothing.
template <class Items, class Visit>
void in_parts(const Items& items, std::size_t size, Visit&& visit) {
  std::size_t at = 0;
  do {
    const std::size_t end = std::min(at + size, items.size());
    visit(items.begin() + static_cast<std::ptrdiff_t>(at), items.begin() + static_cast<std::ptrdiff_t>(end),
          end == items.size());
    at = end;
  } while (at < items.size());
}

}  // namespace

void Server::push(Outputs& out, Instant now) {
  if (!urgent_.empty() && now >= urgent_at_) serve_urgent(out, now);
  if (round_) {
    if (now >= push_at_) step_round(out, now);
  } else if (news() != told_ && now >= round_at_) {
    told_ = news();
    const Duration most =
        std::min<Duration>(kMaxGather, kGatherPerMember * static_cast<Duration::rep>(by_member_.size()));
    gather_ = now - round_at_ >= kCalm ? kPushPause : std::max(kPushPause, std::min(2 * gather_, most));
    round_ = 0;
    round_bytes_ = 0;
    step_round(out, now);
  }
  push_at_ = kNever;
  if (round_) {
    push_at_ = now;
  } else if (news() != told_) {
    push_at_ = round_at_;
  }
  if (!urgent_.empty()) push_at_ = std::min(push_at_, urgent_at_);
}

// A number that changes whenever there is something to tell everybody.
std::uint64_t Server::news() const {
  if (by_old_form_ > 0) return registry_.version();
  return std::max(registry_.records_version(), (on_demand_ ? registry_.presence() : registry_.states()).newest());
}

bool Server::lacks_records(const Connection& c) const {
  if (!c.by_records()) return c.push_whole || c.list_version != registry_.version();
  return c.push_whole || c.held_version != registry_.records_version();
}

bool Server::lacks_states(const Connection& c) const {
  if (!c.by_records()) return false;
  return c.states_version == 0 || c.on_demand != on_demand_ ||
         c.states_version < (on_demand_ ? registry_.presence() : registry_.states()).newest();
}

void Server::step_round(Outputs& out, Instant now) {
  std::size_t told = 0;
  auto it = connections_.lower_bound(*round_);
  for (; it != connections_.end() && told < kPushStep; ++it) {
    auto& [id, c] = *it;
    if (!c.authenticated() || c.ending || (!lacks_records(c) && !lacks_states(c))) continue;
    tell(id, c, out);
    round_bytes_ += out.to_send.back().second.size();
    ++told;
  }
  if (it != connections_.end()) {
    round_ = it->first;
    return;
  }
  round_.reset();
  const auto by_members = kPushPausePerMember * static_cast<Duration::rep>(by_member_.size());
  const auto by_bytes = kPushPausePerMegabyte * static_cast<Duration::rep>(round_bytes_) / 1'000'000;
  round_at_ = now + std::min<Duration>(std::max<Duration>({gather_, by_members, by_bytes}), kMaxPushPause);
}

void Server::serve_urgent(Outputs& out, Instant now) {
  for (std::size_t n = 0; n < kPushStep && !urgent_.empty(); ++n) {
    const auto it = connections_.find(*urgent_.begin());
    urgent_.erase(urgent_.begin());
    if (it == connections_.end() || !it->second.authenticated() || it->second.ending) continue;
    auto& [id, c] = *it;
    if (c.push_whole) tell(id, c, out);
    if (!on_demand_) c.due.clear();  // everybody is told everything anyway
    if (c.due.empty()) continue;
    std::ranges::sort(c.due);
    const auto repeated = std::ranges::unique(c.due);
    c.due.erase(repeated.begin(), repeated.end());
    Bytes bytes;
    in_parts(c.due, wire::kMaxMembersPerDelta, [&](auto begin, auto end, bool last) {
      wire::States states;
      states.on_demand = true;
      states.more = !last;
      for (auto member = begin; member != end; ++member) {
        if (const Member* m = registry_.find(*member)) states.states.push_back(state_of(*m));
      }
      c.channel.seal(wire::encode(states), bytes);
    });
    c.due.clear();
    out.to_send.emplace_back(id, std::move(bytes));
  }
  urgent_at_ = urgent_.empty() ? now + kPushPause : now;
}

// Everything that this client lacks.
void Server::tell(ConnId id, Connection& c, Outputs& out) {
  refresh_news();
  Bytes bytes;
  if (!c.by_records()) {
    for (const Bytes& part : old_delta(c.push_whole ? 0 : c.list_version)) c.channel.seal(part, bytes);
    c.list_version = registry_.version();
  } else {
    if (c.push_whole) c.states_version = 0;  // it had no members to which they could belong
    const bool states = lacks_states(c), records = lacks_records(c);
    // With the records that it signs, so that nobody is refused in between.
    if (const auto& chain = registry_.lock().entries();
        chain.size() != c.lock_entries && c.features.has(Feature::lock)) {
      c.channel.seal(wire::encode(wire::Lock{chain, records}), bytes);
      c.lock_entries = chain.size();
    }
    if (records) put_records(c, states, bytes);
    if (states) {
      const std::uint64_t since = c.on_demand == on_demand_ ? c.states_version : 0;
      for (const Bytes& part : states_since(since)) c.channel.seal(part, bytes);
      c.on_demand = on_demand_;
      c.states_version = (on_demand_ ? registry_.presence() : registry_.states()).newest();
      // The states of its communication partners are not part of what everybody is told.
      if (on_demand_ && since == 0 && !c.wanted.empty()) {
        c.due = c.wanted;
        urgent_.insert(id);
      }
    }
  }
  c.push_whole = false;
  out.to_send.emplace_back(id, std::move(bytes));
}

void Server::refresh_news() {
  if (encoded_at_ == registry_.version()) return;
  encoded_at_ = registry_.version();
  old_deltas_.clear();
  records_.clear();
  states_.clear();
}

void Server::state_changed(MemberId member) {
  const auto it = wanted_by_.find(member);
  if (it == wanted_by_.end()) return;
  for (const ConnId id : it->second) {
    connections_.at(id).due.push_back(member);
    urgent_.insert(id);
  }
}

void Server::count_members() {
  const bool many = by_member_.size() > (on_demand_ ? config_.tell_all * 3 / 4 : config_.tell_all);
  if (std::exchange(on_demand_, many) == many) return;
  states_.clear();
  told_ = 0;
}

void Server::forget_wishes(ConnId id, const Connection& c) {
  urgent_.erase(id);
  for (const MemberId member : c.wanted) {
    const auto it = wanted_by_.find(member);
    it->second.erase(id);
    if (it->second.empty()) wanted_by_.erase(it);
  }
}

// The parts of the delta in the form of version 0.1, the last one signed.
const std::vector<Bytes>& Server::old_delta(std::uint64_t since) {
  auto [at, added] = old_deltas_.try_emplace(since);
  if (!added) return at->second;
  const Delta delta = registry_.delta_since(since);
  wire::MemberDelta part;
  part.delta = {.from = delta.from, .to = delta.to, .full = delta.full, .upserts = {}, .removed = delta.removed};
  in_parts(delta.upserts, wire::kMaxMembersPerDelta, [&](auto begin, auto end, bool last) {
    part.delta.upserts.assign(begin, end);
    part.last = last;
    if (last) {
      part.digest = registry_.digest();
      part.signature = registry_.signature();
    }
    at->second.push_back(wire::encode(part));
    part.delta.removed.clear();
  });
  return at->second;
}

// The records that it lacks, encoded.
void Server::put_records(Connection& c, bool more, Bytes& to) {
  const std::uint64_t since = c.push_whole ? 0 : c.list_version;
  wire::Records last;
  last.delta.from = c.held_version;
  last.delta.to = registry_.records_version();
  last.root = registry_.root();
  const bool counts_anew = (c.features & config_.features).has(Feature::recovery);
  last.signature = registry_.records_signature(counts_anew ? registry_.recovery() : RecoveryId{});
  last.more = more;
  if (since == 0 || registry_.policy_changed_since(since)) last.delta.policy = registry_.policy();
  if (since != registry_.records_version()) {
    auto [at, added] = records_.try_emplace(since);
    if (added && since != 0) {
      // Otherwise it is further behind than the tombstones.
      if (const Delta delta = registry_.records_since(since); !delta.full) at->second = record_parts(delta);
    }
    // Not in parts: there are none, or it is everything.
    last.delta.full = at->second.empty();
    if (last.delta.full && registry_.policy().any()) last.delta.policy = registry_.policy();
    if (last.delta.full) put_all_records(c, to);
    for (const Bytes& part : at->second) c.channel.seal(part, to);
  }
  c.channel.seal(wire::encode(last), to);
  c.held_version = c.list_version = registry_.records_version();
}

std::vector<Bytes> Server::record_parts(const Delta& delta) {
  std::vector<Bytes> out;
  wire::Records part;
  part.last = false;
  part.delta.removed = delta.removed;
  in_parts(delta.upserts, wire::kMaxMembersPerDelta, [&](auto begin, auto end, bool) {
    part.delta.upserts.assign(begin, end);
    out.push_back(wire::encode(part));
    part.delta.removed.clear();
  });
  return out;
}

// Only what changed since the last time is encoded again.
void Server::put_all_records(Connection& c, Bytes& to) {
  const Delta changed = registry_.records_since(chunks_at_);
  if (changed.full) chunks_.clear();
  if (!changed.full) {
    for (const Member& m : changed.upserts) chunks_.erase(m.id.value >> kChunkBits);
    for (const MemberId id : changed.removed) chunks_.erase(id.value >> kChunkBits);
  }
  chunks_at_ = registry_.records_version();
  const auto& members = registry_.members();
  for (auto it = members.begin(); it != members.end();) {
    const std::uint32_t chunk = it->first.value >> kChunkBits;
    const auto end = members.lower_bound({(chunk + 1) << kChunkBits});
    auto [encoded, added] = chunks_.try_emplace(chunk);
    if (added) {
      wire::Records part;
      part.last = false;
      for (auto m = it; m != end; ++m) part.delta.upserts.push_back(m->second);
      encoded->second = wire::encode(part);
    }
    c.channel.seal(encoded->second, to);
    it = end;
  }
}

wire::MemberState Server::state_of(const Member& m) {
  return {m.id, m.online, m.version, m.relays, m.candidates};
}

// 0: everything in which it differs from a member that is offline and has never been seen.
const std::vector<Bytes>& Server::states_since(std::uint64_t since) {
  auto [at, added] = states_.try_emplace(since);
  if (!added) return at->second;
  wire::States states;
  states.all = since == 0;
  states.on_demand = on_demand_;
  if (on_demand_) {
    if (since == 0) {
      states.online_runs = online_;
    } else {
      registry_.presence().since(
          since, [&](MemberId id) { (by_member_.contains(id) ? states.online : states.offline).push_back(id); });
    }
    std::ranges::sort(states.online);
    std::ranges::sort(states.offline);
    at->second.push_back(wire::encode(states));
    return at->second;
  }
  std::vector<wire::MemberState> changed;
  registry_.states().since(since, [&](MemberId id) {
    if (const Member* m = registry_.find(id)) changed.push_back(state_of(*m));
  });
  // A member named in a later part must not be taken for offline after the first.
  if (states.all && changed.size() > wire::kMaxMembersPerDelta) {
    for (const wire::MemberState& s : changed) {
      if (s.online) states.online.push_back(s.id);
    }
    std::ranges::sort(states.online);
  }
  in_parts(changed, wire::kMaxMembersPerDelta, [&](auto begin, auto end, bool last) {
    states.states.assign(begin, end);
    states.more = !last;
    at->second.push_back(wire::encode(states));
    states.all = false;
    states.online.clear();
  });
  return at->second;
}

}  // namespace eps::control
