// SPDX-License-Identifier: MIT
#include "wire/member_proto.h"

namespace eps::wire {

bool printable(char c) {
  return c >= ' ' && c <= '~';
}

bool valid_id(std::uint32_t id) {
  return id >= 1 && id <= 0xffffff;
}

bool valid_version(const std::string& text) {
  return text.size() <= kMaxVersionSize && std::all_of(text.begin(), text.end(), printable);
}

bool take(const proto::Candidate& from, Candidate& to) {
  const bool known = from.kind() >= 1 && from.kind() <= static_cast<unsigned>(Candidate::Kind::seen);
  to.kind = static_cast<Candidate::Kind>(from.kind());
  to.endpoint.port = static_cast<std::uint16_t>(from.port());
  return known && from.port() >= 1 && from.port() <= 65535 && take(from.ip(), to.endpoint.ip.bytes);
}

bool take(const proto::Range& from, IpNetwork& to) {
  to.length = static_cast<std::uint8_t>(from.length());
  return from.length() <= 128 && take(from.base(), to.base.bytes) && valid(to);
}

bool take_grants(const proto::Member& from, Grants& to) {
  to.bridge = from.bridge();
  to.dhcp = from.dhcp();
  if (from.grants_size() == 0 && to.bits() == 0) return true;
  if (from.grants_size() > static_cast<int>(kMaxGrants) || !take(from.grants_signature(), to.signature)) return false;
  return std::all_of(from.grants().begin(), from.grants().end(),
                     [&](const proto::Range& r) { return take(r, to.ranges.emplace_back()); });
}

bool take_mark(const proto::Member& from, LockMark& to) {
  to.sequence = from.lock_sequence();
  if (to.sequence == 0) return true;
  return take(from.lock_record(), to.record) && (from.lock_grants().empty() || take(from.lock_grants(), to.grants));
}

bool take_groups(const proto::Member& from, std::vector<std::string>& to) {
  to.assign(from.groups().begin(), from.groups().end());
  return to.size() <= kMaxMemberGroups && std::all_of(to.begin(), to.end(), valid_group);
}

bool take(const proto::Policy& from, NetworkPolicy& to) {
  to.text = from.text();
  to.sequence = from.lock_sequence();
  return valid_policy_text(to.text) && (to.sequence == 0 || take(from.lock_signature(), to.signature));
}

bool take(const proto::Member& from, Member& to) {
  to.id = {from.id()};
  to.name = from.name();
  to.address = {from.address()};
  to.online = from.online();
  to.relays = from.relays();
  to.version = from.version();
  return valid_id(from.id()) && valid_name(to.name) && valid_version(to.version) && take(from.key(), to.key.bytes) &&
         take(from.mac(), to.mac.bytes) && !to.mac.is_group() && take_candidates(from.candidates(), to.candidates) &&
         take_grants(from, to.grants) && take_groups(from, to.groups) && take_mark(from, to.lock);
}

void put(const Candidate& from, proto::Candidate& to) {
  to.set_kind(static_cast<std::uint32_t>(from.kind));
  to.set_ip(text_of(from.endpoint.ip.bytes));
  to.set_port(from.endpoint.port);
}

void put_stable(const Member& from, proto::Member& to) {
  to.set_id(from.id.value);
  to.set_key(text_of(from.key.bytes));
  to.set_name(from.name);
  to.set_mac(text_of(from.mac.bytes));
  to.set_address(from.address.value);
  for (const IpNetwork& range : from.grants.ranges) {
    proto::Range& r = *to.add_grants();
    r.set_base(text_of(range.base.bytes));
    r.set_length(range.length);
  }
  if (from.grants.bridge) to.set_bridge(true);
  if (from.grants.dhcp) to.set_dhcp(true);
  if (from.grants.any()) to.set_grants_signature(text_of(from.grants.signature));
  for (const std::string& group : from.groups) to.add_groups(group);
  if (from.lock.sequence == 0) return;
  to.set_lock_sequence(from.lock.sequence);
  to.set_lock_record(text_of(from.lock.record));
  if (from.lock.grants != LockMark{}.grants) to.set_lock_grants(text_of(from.lock.grants));
}

void put(const NetworkPolicy& from, proto::Policy& to) {
  to.set_text(from.text);
  if (from.sequence == 0) return;
  to.set_lock_sequence(from.sequence);
  to.set_lock_signature(text_of(from.signature));
}

void put(const Member& from, proto::Member& to) {
  put_stable(from, to);
  to.set_online(from.online);
  to.set_relays(from.relays);
  to.set_version(from.version);
  for (const Candidate& c : from.candidates) put(c, *to.add_candidates());
}

}  // namespace eps::wire
