// SPDX-License-Identifier: MIT

// How a computer that is not in the registry becomes a member: join keys, approval, enrolment.

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "registry/grants.h"
#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {

// Checks an unknown computer: nullopt if it may be enrolled.
std::optional<Refusal> Registry::may_not_join(const JoinRequest& request) {
  if (!request.join_key) return Refusal{Refusal::Code::unknown_key, "The server does not know this computer's key."};
  if (auto why = join_keys_.refusal(*request.join_key, request.secrets_before, request.unix_time)) {
    return Refusal{Refusal::Code::join_key, std::move(*why)};
  }
  if (join_keys_.find(*request.join_key)->approve) return wait_for_approval(request);
  return std::nullopt;
}

Refusal Registry::wait_for_approval(const JoinRequest& request) {
  auto at = std::ranges::find(pending_, request.key, [](const PendingJoin& p) { return p.request.key; });
  if (at == pending_.end()) {
    if (pending_.size() >= kMaxPendingJoins) {
      const auto asked = [](const PendingJoin& p) { return p.request.unix_time; };
      const auto oldest = std::ranges::min_element(pending_, {}, asked);
      if (request.unix_time - asked(*oldest) >= kPendingGone) pending_.erase(oldest);
    }
    if (pending_.size() >= kMaxPendingJoins) {
      return {Refusal::Code::waits, "Too many computers wait to be approved. On the server, see: eps members pending."};
    }
    const std::string wish = make_valid_name(request.name);
    std::string name = unique_name(wish, {});
    const auto waits = [&](const std::string& n) { return find_pending(n) != pending_.end(); };
    for (int n = 2; waits(name); ++n) name = unique_name(numbered(wish, std::to_string(n)), {});
    at = pending_.insert(pending_.end(), {request, name, request.unix_time});
  }
  at->request = request;
  return {Refusal::Code::waits,
          "This computer waits to be approved. On the server: eps members approve " + at->name + "."};
}

bool Registry::waits(const PublicKey& key) const {
  return std::ranges::any_of(pending_, [&](const PendingJoin& p) { return p.request.key == key; });
}

std::vector<PendingJoin>::iterator Registry::find_pending(std::string_view name) {
  return std::ranges::find_if(
      pending_, [&](const PendingJoin& p) { return p.name == name || to_hex(p.request.key.bytes) == name; });
}

namespace {
Error nobody_waits(std::string_view name) {
  return make_error(Errc::not_found,
                    "No computer \"" + std::string(name) + "\" waits to be approved; see: eps members pending");
}
}  // namespace

Result<Member> Registry::approve(std::string_view name, std::int64_t now) {
  const auto at = find_pending(name);
  if (at == pending_.end()) return nobody_waits(name);
  const PendingJoin waiting = *at;
  // The key may have expired or been used up while the computer was waiting.
  if (auto why = join_keys_.refusal(*waiting.request.join_key, waiting.request.secrets_before, now)) {
    return make_error(Errc::unsupported, std::string(name) + " cannot be admitted: " + *why);
  }
  auto enrolled = enrol(waiting.request, by_actor("approve", waiting.name));
  if (const auto* refusal = std::get_if<Refusal>(&enrolled)) return make_error(Errc::exhausted, refusal->sentence);
  return std::get<Member>(enrolled);
}

Result<void> Registry::deny(std::string_view name) {
  const auto at = find_pending(name);
  if (at == pending_.end()) return nobody_waits(name);
  ports::StoreChange change;
  change.revoke.push_back(at->request.key);
  change.audit.push_back(by_actor(
      "deny", at->name + " from " + to_string(at->request.from) + ", key " + to_base32(at->request.key.bytes)));
  if (auto stored = commit(change); !stored) return stored.error();
  revoked_.insert(at->request.key);
  pending_.erase(at);
  return {};
}

Registry::Joined Registry::enrol(const JoinRequest& request, std::optional<AuditEntry> approval) {
  ports::StoreChange change;
  if (approval) change.audit.push_back(std::move(*approval));
  std::vector<Staged> staged;
  staged.push_back(stage_new(request, change));
  return finish(std::move(staged), std::move(change)).front();
}

// Enrols a new member. Its use of a join key and the member become durable in one transaction.
Registry::Staged Registry::stage_new(const JoinRequest& request, ports::StoreChange& change) {
  Staged out;
  auto address = free_address();
  const bool crowded = !address || members_.size() >= kMaxMembers;
  if (crowded) out.gave_way = make_room(request.unix_time);
  if (out.gave_way) {
    if (!address) address = out.gave_way->member.address;
  } else if (auto full = no_room(address.has_value())) {
    return {std::move(*full)};
  }
  if (out.gave_way) {
    erase(out.gave_way->member);
    const auto& [gone, since, away] = *out.gave_way;
    change.remove_members.push_back(gone.id);
    forget_mark(gone, change);
    change.audit.push_back({0, request.unix_time, AuditEntry::Kind::membership, "reclaim", "the server",
                            "the place of " + described(gone) + ", member " + std::to_string(gone.id.value) +
                                ", which was away for " + std::to_string(away) + " s"});
  }
  skip_numbers();
  Member member;
  member.id = {next_id_};
  member.key = request.key;
  member.mac = free_mac();
  member.address = *address;
  member.name = unique_name(make_valid_name(request.name), member.id);
  if (request.join_key) {
    const JoinKey* key = join_keys_.find(*request.join_key);
    EPS_CHECK(key != nullptr);
    out.used_key = *key;
    member.groups = key->groups;
    if (!member.groups.empty()) {
      change.put_meta[kGroupsOf + std::to_string(member.id.value)] = encode_groups(member.groups);
    }
    JoinKey used = *key;
    ++used.used;
    join_keys_.put(used);
    std::erase_if(change.put_join_keys, [&](const JoinKey& k) { return k.id == used.id; });
    change.put_join_keys.push_back(std::move(used));
  }
  ++next_id_;
  member.grants.ranges = for_all_;
  if (member.grants.any()) {
    sign_grants(member);
    change.put_meta[kGrantsOf + std::to_string(member.id.value)] = encode_grants(member.grants);
  }
  put(member);
  reserve(member.grants);
  presence_kept_[member.id] = {.joined = request.unix_time, .since = request.unix_time};
  last_seen_changed_ = true;
  if (out.used_key && out.used_key->ephemeral) {
    presence_kept_[member.id].ephemeral = true;
    Bytes& all = change.put_meta[kEphemeralMembers];
    all.clear();
    for (const auto& [id, presence] : presence_kept_) {
      if (presence.ephemeral) Writer(all).u32(id.value);
    }
  }
  change.put_members.push_back(member);
  change.audit.push_back(join_entry(request, member));
  member.version = request.version.substr(0, kMaxVersionSize);
  member.relays = request.relays;
  out.added = true;
  out.result = std::move(member);
  return out;
}

AuditEntry Registry::join_entry(const JoinRequest& request, const Member& member) const {
  const JoinKey* key = request.join_key ? join_keys_.find(*request.join_key) : nullptr;
  return {0,
          request.unix_time,
          AuditEntry::Kind::membership,
          "join",
          to_string(request.from),
          described(member) + ", member " + std::to_string(member.id.value) + ", key " + to_base32(member.key.bytes) +
              (key == nullptr ? "" : ", with " + described(*key)) +
              (key != nullptr && key->ephemeral ? ", ephemeral" : "")};
}

AuditEntry Registry::key_entry(std::string act, const JoinKey& key, const JoinKeyWish& wish) const {
  return by_actor(std::move(act), described(key) + (key.uses == 0 ? "" : ", uses " + std::to_string(key.uses)) +
                                      (key.expires == 0 ? "" : ", for " + std::to_string(wish.valid_for) + " s") +
                                      (key.approve ? ", needs approval" : "") + (key.ephemeral ? ", ephemeral" : "") +
                                      (key.groups.empty() ? "" : ", groups ") +
                                      std::string(as_text(encode_groups(key.groups))));
}

Result<JoinKey> Registry::create_join_key(const JoinKeyWish& wish, std::int64_t now) {
  auto groups = checked_groups(wish.groups);
  if (!groups) return groups.error();
  auto key = join_keys_.draw(wish, now, rng_);
  if (!key) return key;
  key->groups = std::move(*groups);
  ports::StoreChange change;
  // Also where there are none: an earlier key may have had the number.
  change.put_meta[kKeyGroupsOf + std::to_string(key->id)] = encode_groups(key->groups);
  change.put_join_keys.push_back(*key);
  change.audit.push_back(key_entry("key create", *key, wish));
  if (key->ephemeral) {
    Writer all(change.put_meta[kEphemeralKeys]);
    for (const auto& [id, other] : join_keys_.all()) {
      if (other.ephemeral) all.u32(id);
    }
    all.u32(key->id);
  }
  const auto old = join_keys_.to_give_way(now);
  if (old) change.remove_join_keys.push_back(*old);
  if (auto stored = commit(change); !stored) return stored.error();
  if (old) join_keys_.erase(*old);
  join_keys_.put(*key);
  return key;
}

Result<JoinKey> Registry::revoke_join_key(std::string_view which) {
  std::optional<JoinKey> found;
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(which.data(), which.data() + which.size(), number);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == which.data() + which.size();
  for (const auto& [id, key] : join_keys_.all()) {
    if (key.revoked || (is_number ? id != number : key.name != which)) continue;
    if (found) {
      return make_error(Errc::invalid_argument, "several join keys are called \"" + std::string(which) +
                                                    "\": name the one by its number; see: eps keys list");
    }
    found = key;
  }
  if (!found) {
    return make_error(Errc::not_found, "there is no join key \"" + std::string(which) + "\"; see: eps keys list");
  }
  found->revoked = true;
  ports::StoreChange change;
  change.put_join_keys.push_back(*found);
  change.audit.push_back(by_actor("key revoke", described(*found)));
  if (auto stored = commit(change); !stored) return stored.error();
  join_keys_.put(*found);
  return *found;
}

Result<JoinKey> Registry::rotate_network_key(const JoinKeyWish& wish, std::int64_t now) {
  const JoinKey key = join_keys_.redraw_network_key(wish, now, rng_);
  ports::StoreChange change;
  change.put_join_keys.push_back(key);
  change.audit.push_back(key_entry("key rotate", key, wish));
  if (auto stored = commit(change); !stored) return stored.error();
  join_keys_.put(key);
  return key;
}

}  // namespace eps::registry
