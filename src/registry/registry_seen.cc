// SPDX-License-Identifier: MIT

// When members were here, and which one is displaced when a new one finds no place.

#include <algorithm>

#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {
namespace {

constexpr const char* kLastSeen = "last_seen";
constexpr const char* kJoined = "joined";
constexpr std::size_t kSeenSize = 12;  // per member: its number (4 bytes), Unix seconds (8)

}  // namespace

void Registry::saw(MemberId id, std::int64_t unix_time) {
  if (!members_.contains(id)) return;
  Presence& p = presence_kept_[id];
  last_seen_changed_ |= p.last_seen != unix_time;
  p.last_seen = p.since = unix_time;
}

std::optional<std::int64_t> Registry::last_seen(MemberId id) const {
  const auto it = presence_kept_.find(id);
  return it == presence_kept_.end() || it->second.last_seen == 0 ? std::nullopt : std::optional(it->second.last_seen);
}

Result<void> Registry::keep_last_seen() {
  if (!last_seen_changed_) return {};
  ports::StoreChange change;
  const auto keep = [&](const char* name, std::int64_t Presence::*time) {
    Writer out(change.put_meta[name]);
    for (const auto& [id, presence] : presence_kept_) {
      if (presence.*time == 0) continue;
      out.u32(id.value);
      out.u64(static_cast<std::uint64_t>(presence.*time));
    }
  };
  keep(kLastSeen, &Presence::last_seen);
  keep(kJoined, &Presence::joined);
  if (auto kept = store_.commit(change); !kept) return kept;
  last_seen_changed_ = false;
  return {};
}

// Data that an older server did not write, or that is damaged, is no reason to refuse to start.
void Registry::load_last_seen(const ports::StoredState& state) {
  // Members without data count from now on.
  for (const auto& [id, member] : members_) presence_kept_[id].since = config_.started_at;
  const auto load = [&](const char* name, auto&& take) {
    const auto it = state.meta.find(name);
    if (it == state.meta.end()) return;
    const Bytes& all = it->second;
    for (std::size_t at = 0; at + kSeenSize <= all.size(); at += kSeenSize) {
      const auto found = presence_kept_.find(MemberId{load_be32(all.data() + at)});
      if (found != presence_kept_.end()) {
        take(found->second, static_cast<std::int64_t>(load_be64(all.data() + at + 4)));
      }
    }
  };
  load(kLastSeen, [](Presence& p, std::int64_t time) { p.last_seen = p.since = time; });
  load(kJoined, [](Presence& p, std::int64_t time) { p.joined = time; });
}

// See load_last_seen().
void Registry::load_ephemeral(const ports::StoredState& state) {
  const auto load = [&](const char* name, auto&& take) {
    const auto it = state.meta.find(name);
    if (it == state.meta.end()) return;
    for (std::size_t at = 0; at + 4 <= it->second.size(); at += 4) take(load_be32(it->second.data() + at));
  };
  load(kEphemeralKeys, [&](std::uint32_t id) {
    if (const JoinKey* known = join_keys_.find(id)) {
      JoinKey key = *known;
      key.ephemeral = true;
      join_keys_.put(key);
    }
  });
  load(kEphemeralMembers, [&](std::uint32_t id) {
    if (const auto it = presence_kept_.find(MemberId{id}); it != presence_kept_.end()) it->second.ephemeral = true;
  });
}

bool Registry::is_ephemeral(MemberId id) const {
  const auto it = presence_kept_.find(id);
  return it != presence_kept_.end() && it->second.ephemeral;
}

void Registry::clock_jumped(std::int64_t by) {
  started_ += by;
  for (auto& [id, presence] : presence_kept_) presence.since += by;
}

std::optional<std::int64_t> Registry::expires_at(const Member& member, std::int64_t keep) const {
  const auto it = presence_kept_.find(member.id);
  if (member.online || has_grants_of_its_own(member) || it == presence_kept_.end()) return std::nullopt;
  std::optional<std::int64_t> out;
  if (it->second.ephemeral) out = std::max(it->second.since, started_) + kKeepEphemeral;
  if (keep != 0) {
    const std::int64_t at = std::max(it->second.since + keep, started_ + kExpiryGrace);
    out = std::min(at, out.value_or(at));
  }
  return out;
}

Result<std::vector<Registry::Expired>> Registry::expire(std::int64_t now, std::int64_t keep) {
  std::vector<Expired> out;
  ports::StoreChange change;
  for (const auto& [id, member] : members_) {
    const auto at = expires_at(member, keep);
    if (!at || now < *at) continue;
    const std::int64_t away = now - presence_kept_.at(id).since;
    const auto as_ephemeral = is_ephemeral(id) ? expires_at(member, 0) : std::nullopt;
    const bool ephemeral = as_ephemeral && now >= *as_ephemeral;
    out.push_back({member, away, ephemeral});
    change.remove_members.push_back(id);
    forget_mark(member, change);
    change.audit.push_back({0, now, AuditEntry::Kind::membership, "expire", "the server",
                            described(member) + ", member " + std::to_string(id.value) + ", " +
                                (ephemeral ? "ephemeral, " : "") + "which was away for " + std::to_string(away) +
                                " s"});
  }
  if (out.empty()) return out;
  if (auto stored = commit(std::move(change)); !stored) return stored.error();
  for (const Expired& gone : out) {
    erase(gone.member);
    tell_removed(gone.member.id);
  }
  return out;
}

// The member that a new one displaces, if any. Members with further addresses are exempt: a person granted these, and
// can revoke them.
std::optional<Registry::Reclaimed> Registry::make_room(std::int64_t now) const {
  std::optional<Reclaimed> longest;
  for (const auto& [id, member] : members_) {
    if (member.online || returning_.contains(id) || has_grants_of_its_own(member)) continue;
    const auto it = presence_kept_.find(id);
    if (it == presence_kept_.end()) continue;
    const Presence& p = it->second;
    std::int64_t keep = kKeepPlaceAtMost;
    if (p.joined != 0 && p.last_seen != 0) keep = std::clamp(p.last_seen - p.joined, kKeepPlaceAtLeast, keep);
    if (now - p.since < keep || (longest && p.since >= longest->unseen_since)) continue;
    longest = Reclaimed{member, p.since, now - p.since};
  }
  return longest;
}

}  // namespace eps::registry
