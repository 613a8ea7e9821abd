// SPDX-License-Identifier: MIT
#include "model/network.h"

#include <algorithm>

namespace eps {

const char* name_of(Permission permission) {
  return permission == Permission::bridge ? "bridge" : "dhcp";
}

std::optional<Permission> parse_permission(std::string_view name) {
  for (const Permission p : {Permission::bridge, Permission::dhcp}) {
    if (name == name_of(p)) return p;
  }
  return std::nullopt;
}
namespace {
bool valid_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}
}  // namespace

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameSize && std::all_of(name.begin(), name.end(), valid_name_char);
}

std::string make_valid_name(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxNameSize)) out.push_back(valid_name_char(c) ? c : '-');
  return out.find_first_not_of("-._") == std::string::npos ? "member" : out;
}

IpNetwork default_network6(const NetworkId& id) {
  IpNetwork out{{}, 64};
  out.base.bytes[0] = std::byte{0xfd};
  std::copy_n(id.bytes.begin(), 5, out.base.bytes.begin() + 1);
  return out;
}

bool usable_network6(const IpNetwork& network) {
  const auto first = std::to_integer<unsigned>(network.base.bytes[0]);
  const bool unicast = (first & 0xe0U) == 0x20 || (first & 0xfeU) == 0xfc;  // global, unique local
  return network.length == 64 && valid(network) && unicast;
}

IpAddress address6_of(const IpNetwork& network, const Mac& mac) {
  IpAddress out = network.base;
  const auto& m = mac.bytes;
  const std::array<std::byte, 8> id{m[0] ^ std::byte{2}, m[1], m[2], std::byte{0xff},
                                    std::byte{0xfe},     m[3], m[4], m[5]};
  std::ranges::copy(id, out.bytes.begin() + 8);
  return out;
}

MemberMap::MemberMap(std::initializer_list<std::pair<MemberId, Member>> members) {
  for (const auto& [id, member] : members) put(member);
}

MemberMap::MemberMap(const std::map<MemberId, Member>& members) {
  for (const auto& [id, member] : members) put(member);
}

namespace {
// Where in the chunk it is or belongs.
auto place_in(auto& chunk, MemberId id) {
  return std::ranges::lower_bound(chunk, id, {}, [](const MemberMap::Record& r) { return r->id; });
}
}  // namespace

MemberMap::Record MemberMap::record(MemberId id) const {
  const auto chunk = chunks_.find(id.value >> kChunkBits);
  if (chunk == chunks_.end()) return nullptr;
  const auto at = place_in(chunk->second, id);
  return at != chunk->second.end() && (*at)->id == id ? *at : nullptr;
}

void MemberMap::put(Record record) {
  Chunk& chunk = chunks_[record->id.value >> kChunkBits];
  const auto at = place_in(chunk, record->id);
  if (at != chunk.end() && (*at)->id == record->id) {
    *at = std::move(record);
  } else {
    chunk.insert(at, std::move(record));
    ++size_;
  }
}

void MemberMap::erase(MemberId id) {
  const auto chunk = chunks_.find(id.value >> kChunkBits);
  if (chunk == chunks_.end()) return;
  const auto at = place_in(chunk->second, id);
  if (at == chunk->second.end() || (*at)->id != id) return;
  chunk->second.erase(at);
  --size_;
  if (chunk->second.empty()) chunks_.erase(chunk);
}

bool MemberMap::operator==(const MemberMap& other) const {
  const auto same = [](const Record& a, const Record& b) { return a == b || *a == *b; };
  const auto alike = [&](const auto& a, const auto& b) {
    return a.first == b.first && std::ranges::equal(a.second, b.second, same);
  };
  return std::ranges::equal(chunks_, other.chunks_, alike);
}

const Member* MemberList::find_name(std::string_view name) const {
  for (const auto& [id, member] : members_) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

bool valid_policy_text(std::string_view text) {
  return text.size() <= kMaxPolicyText && std::ranges::all_of(text, [](char c) {
           return (c >= ' ' && c <= '~') || c == '\n' || c == '\t' || c == '\r';
         });
}

bool valid_group(std::string_view name) {
  return !name.empty() && name.size() <= kMaxGroupName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool MemberList::apply(const Delta& delta, const MemberMap& like) {
  if (delta.to < version_ || (!delta.full && delta.from != version_)) return false;
  MemberMap before;
  if (delta.full) std::swap(before, members_);
  const MemberMap& old = delta.full ? before : members_;
  for (const MemberId id : delta.removed) members_.erase(id);
  for (const Member& m : delta.upserts) {
    MemberMap::Record record = like.record(m.id);
    if (record == nullptr || *record != m) record = old.record(m.id);
    members_.put(record != nullptr && *record == m ? std::move(record) : std::make_shared<const Member>(m));
  }
  if (delta.full || delta.policy) policy_ = delta.policy.value_or(NetworkPolicy());
  version_ = delta.to;
  return true;
}

void MemberList::keep_candidates(const MemberList& older) {
  std::vector<MemberMap::Record> kept;
  for (const auto& [id, member] : members_) {
    const MemberMap::Record known = older.members_.record(id);
    if (known == nullptr || known->key != member.key || !member.candidates.empty()) continue;
    Member with = member;
    with.candidates = known->candidates;
    kept.push_back(*known == with ? known : std::make_shared<const Member>(std::move(with)));
  }
  for (MemberMap::Record& record : kept) members_.put(std::move(record));
}

std::uint64_t list_version_number(std::uint64_t version) {
  return ((version >> 32) << kListVersionBits) + (version & 0xffffffff);
}

std::string list_version_text(std::uint64_t version) {
  return std::to_string(version >> 32) + "." + std::to_string(version & 0xffffffff);
}

}  // namespace eps
