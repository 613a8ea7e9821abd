// SPDX-License-Identifier: MIT

// The further addresses of members: stored by the registry, signed, and never assigned to another member.

#include <algorithm>
#include <iterator>
#include <utility>

#include "registry/grants.h"
#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {

namespace {

Error too_many(const Member& member) {
  return make_error(Errc::exhausted, member.name + " has " + std::to_string(kMaxGrants) +
                                         " ranges of further addresses, the most of one member: allow one larger "
                                         "range instead, or take one back with: eps members revoke " +
                                         member.name + " RANGE");
}

Error in_use(const IpNetwork& range, const std::string& owner) {
  return make_error(Errc::in_use, to_string(range) + " is the address of " + owner +
                                      ", which is that member's alone: allow another one");
}

bool contains(const std::vector<IpNetwork>& ranges, const IpNetwork& range) {
  return std::ranges::find(ranges, range) != ranges.end();
}

}  // namespace

// The member whose own address, of either family, this is. A larger range may hold addresses of members: these stay
// theirs, whoever may use the rest (l2/source_guard.h).
std::optional<std::string> Registry::owner_of(const IpNetwork& range) const {
  if (range.length != 128) return std::nullopt;
  const IpAddress& address = range.base;
  const IpNetwork link_local = *parse_ip_network("fe80::/64");
  for (const auto& [id, m] : members_) {
    const bool own = address == IpAddress::from_v4(m.address) || address == address6_of(link_local, m.mac) ||
                     (network_.network6 && address == address6_of(*network_.network6, m.mac));
    if (own) return m.name + " (" + to_string(m.address) + ")";
  }
  return std::nullopt;
}

Result<Member> Registry::grant(std::string_view name, const IpNetwork& range) {
  const Member* member = find_name(name);
  if (member == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  Grants grants = member->grants;
  std::vector<IpNetwork>& ranges = grants.ranges;
  if (contains(ranges, range)) return *member;
  if (ranges.size() >= kMaxGrants) return too_many(*member);
  if (const auto other = owner_of(range)) return in_use(range, *other);
  if (std::string why = why_not_allowed(range); !why.empty()) return make_error(Errc::invalid_argument, std::move(why));
  ranges.push_back(range);
  return set_grants(*member, std::move(grants));
}

Result<Member> Registry::revoke_grant(std::string_view name, const IpNetwork& range) {
  const Member* member = find_name(name);
  if (member == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  Grants grants = member->grants;
  if (std::erase(grants.ranges, range) == 0) {
    return make_error(Errc::not_found,
                      member->name + " was not allowed " + to_string(range) + "; see: eps members --json");
  }
  return set_grants(*member, std::move(grants));
}

Result<void> Registry::grant_all(const IpNetwork& range) {
  if (const auto owner = owner_of(range)) return in_use(range, *owner);
  if (std::string why = why_not_allowed(range); !why.empty()) return make_error(Errc::invalid_argument, std::move(why));
  for (const auto& [id, m] : members_) {
    if (!contains(m.grants.ranges, range) && m.grants.ranges.size() >= kMaxGrants) return too_many(m);
  }
  std::vector<IpNetwork> ranges = for_all_;
  if (!contains(ranges, range)) {
    if (ranges.size() >= kMaxGrants) {
      return make_error(Errc::exhausted, "Every member has " + std::to_string(kMaxGrants) +
                                             " ranges already: take one back with: eps members revoke --all RANGE");
    }
    ranges.push_back(range);
  }
  return set_grants_of_all(std::move(ranges), range);
}

Result<void> Registry::revoke_from_all(const IpNetwork& range) {
  std::vector<IpNetwork> ranges = for_all_;
  if (std::erase(ranges, range) == 0) {
    return make_error(Errc::not_found, to_string(range) + " was not allowed to all; see: eps members --json");
  }
  return set_grants_of_all(std::move(ranges), range);
}

// `changed`: the range that every member gets or loses.
Result<void> Registry::set_grants_of_all(std::vector<IpNetwork> ranges, const IpNetwork& changed) {
  const bool given = contains(ranges, changed);
  ports::StoreChange change;
  Grants of_all;
  of_all.ranges = ranges;
  change.put_meta[kGrantsOfAll] = encode_grants(of_all);
  change.audit.push_back(by_actor(
      "allow", std::string("every member ") + (given ? "may use " : "may no longer use ") + to_string(changed)));
  std::vector<std::pair<MemberId, Grants>> all;
  for (const auto& [id, m] : members_) {
    if (contains(m.grants.ranges, changed) == given) continue;
    Grants grants = m.grants;
    if (given) {
      grants.ranges.push_back(changed);
    } else {
      std::erase(grants.ranges, changed);
    }
    change.put_meta[kGrantsOf + std::to_string(id.value)] = encode_grants(grants);
    all.emplace_back(id, std::move(grants));
  }
  if (auto stored = commit(std::move(change)); !stored) return stored;
  for_all_ = std::move(ranges);
  for (auto& [id, grants] : all) {
    Member& member = members_.at(id);
    member.grants = std::move(grants);
    sign_grants(member);
    touch(id);
    stable_fields_changed(member);
  }
  gather_grants();
  return {};
}

// What a person granted this member, rather than every one.
bool Registry::has_grants_of_its_own(const Member& member) const {
  return member.grants.bits() != 0 ||
         std::ranges::any_of(member.grants.ranges, [&](const IpNetwork& range) { return !contains(for_all_, range); });
}

Result<Member> Registry::permit(std::string_view name, Permission what, bool allowed) {
  const Member* member = find_name(name);
  if (member == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  Grants grants = member->grants;
  if (std::exchange(grants.of(what), allowed) == allowed) {
    if (allowed) return *member;
    return make_error(Errc::not_found,
                      member->name + " was not allowed " + name_of(what) + "; see: eps members --json");
  }
  return set_grants(*member, std::move(grants));
}

Result<Member> Registry::set_grants(const Member& member, Grants grants) {
  ports::StoreChange change;
  std::string all;
  for (const IpNetwork& range : grants.ranges) all += (all.empty() ? "" : ", ") + to_string(range);
  for (const Permission p : {Permission::bridge, Permission::dhcp}) {
    if (grants.of(p)) all += (all.empty() ? "" : ", ") + std::string(name_of(p));
  }
  change.audit.push_back(by_actor(
      "allow", described(member) + (all.empty() ? " may use its own address alone" : " may use besides: " + all)));
  change.put_meta[kGrantsOf + std::to_string(member.id.value)] = encode_grants(grants);
  if (auto stored = commit(std::move(change)); !stored) return stored.error();
  Member& changed = members_.at(member.id);
  unreserve(changed.grants);
  changed.grants = std::move(grants);
  reserve(changed.grants);
  sign_grants(changed);
  touch(changed.id);
  stable_fields_changed(changed);
  return changed;
}

void Registry::sign_grants(Member& member) const {
  member.grants.signature = {};
  if (!member.grants.any()) return;
  member.grants.signature = crypto::sign(identity_.signing_seed, signed_grants_message(network_.id, member));
}

void Registry::gather_grants() {
  granted_.clear();
  reserve({.ranges = for_all_});
  for (const auto& [id, m] : members_) reserve(m.grants);
}

namespace {
// A range that holds the whole network, such as an exit node's, reserves nothing of it.
bool is_within(const IpNetwork& range, const Ip4Network& network) {
  const IpNetwork all = IpNetwork::from_v4(network);
  return all.contains(range.base) && range.length > all.length;
}
}  // namespace

void Registry::reserve(const Grants& grants) {
  for (const IpNetwork& range : grants.ranges) {
    if (is_within(range, network_.network)) ++granted_[range];
  }
}

void Registry::unreserve(const Grants& grants) {
  for (const IpNetwork& range : grants.ranges) {
    const auto it = granted_.find(range);
    if (it != granted_.end() && --it->second == 0) granted_.erase(it);
  }
}

// The widest range with this address.
std::optional<IpNetwork> Registry::granted(std::uint32_t ip) const {
  if (granted_.empty()) return std::nullopt;
  for (unsigned prefix = network_.network.prefix + 1U; prefix <= 32; ++prefix) {
    const IpNetwork range{IpAddress::from_v4({ip & ~std::uint32_t{0} << (32 - prefix)}),
                          static_cast<std::uint8_t>(96 + prefix)};
    if (granted_.contains(range)) return range;
  }
  return std::nullopt;
}

}  // namespace eps::registry
