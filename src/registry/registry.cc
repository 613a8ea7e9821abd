// SPDX-License-Identifier: MIT
#include "registry/registry.h"

#include <algorithm>

#include "base/check.h"
#include "registry/grants.h"
#include "registry/list_digest.h"
#include "registry/registry_internal.h"

namespace eps::registry {
namespace {

constexpr const char* kStaticKey = "identity.x25519";
constexpr const char* kSigningSeed = "identity.ed25519";
constexpr const char* kEnrolment = "identity.enrolment";  // of networks older than join keys
constexpr const char* kNetworkId = "network.id";
// Random draws before the next free address is taken: with half the pool in use, all ten fail in one of 1,000 joins.
constexpr int kDraws = 10;
constexpr std::uint64_t kLastEpoch = 0xffff'ffff;
// A clock may give epochs from kEarliestClock to kLatestClock, and at most ten years after the last start.
constexpr std::uint64_t kLongestPause = 10ULL * 365 * 24 * 3600;
constexpr std::uint32_t kMaxMemberId = 0xffffff;  // 24 bits on the wire

// Reads named values of fixed size; remembers the first one that is missing or has another size.
class MetaReader {
 public:
  explicit MetaReader(const ports::StoredState& state) : meta_(state.meta) {}
  template <std::size_t N>
  std::array<std::byte, N> array(const char* name) {
    std::array<std::byte, N> out{};
    const auto it = meta_.find(name);
    if (it != meta_.end() && it->second.size() == N) {
      std::copy(it->second.begin(), it->second.end(), out.begin());
    } else if (bad_ == nullptr) {
      bad_ = name;
    }
    return out;
  }
  template <std::size_t N>
  crypto::Secret<N> secret(const char* name) {
    auto raw = array<N>(name);
    crypto::Secret<N> out{std::span<const std::byte, N>(raw)};
    crypto::wipe(raw);
    return out;
  }
  std::uint64_t number(const char* name) { return load_be64(array<8>(name).data()); }
  Result<void> check() const {
    if (bad_ == nullptr) return {};
    return make_error(Errc::corrupt, std::string("The server's state lacks a valid \"") + bad_ +
                                         "\": restore the state directory from a backup, or move it away to begin a "
                                         "new network.");
  }

 private:
  const std::map<std::string, Bytes>& meta_;
  const char* bad_ = nullptr;
};

template <std::size_t N>
Bytes secret_bytes(const crypto::Secret<N>& secret) {
  return {secret.view().begin(), secret.view().end()};
}

}  // namespace

Registry::Registry(ports::Store& store, const RegistryConfig& config, Rng& rng)
    : store_(store), config_(config), rng_(rng) {}

Result<std::unique_ptr<Registry>> Registry::open(ports::Store& store, const RegistryConfig& config, Rng& rng) {
  if (config.network.prefix < 8 || config.network.prefix > 30) {
    return make_error(Errc::invalid_argument, "The network " + to_string(config.network) +
                                                  " cannot be served: choose a --network from /8 to /30, for example "
                                                  "192.168.43.0/24.");
  }
  auto state = store.load();
  if (!state) return state.error();
  std::unique_ptr<Registry> registry(new Registry(store, config, rng));
  for (Member& m : state->members) {
    const auto kept = state->meta.find(kGrantsOf + std::to_string(m.id.value));
    if (kept == state->meta.end()) continue;
    auto grants = decode_grants(kept->second);
    if (!grants) {
      return make_error(Errc::corrupt, "The server's state holds addresses for " + m.name +
                                           " that are not valid: restore the state directory from a backup.");
    }
    m.grants = std::move(*grants);
  }
  if (const auto kept = state->meta.find(kGrantsOfAll); kept != state->meta.end()) {
    registry->for_all_ = decode_grants(kept->second).value_or(Grants{}).ranges;
  }
  for (Member& m : state->members) {
    const auto kept = state->meta.find(kGroupsOf + std::to_string(m.id.value));
    if (kept != state->meta.end()) m.groups = decode_groups(kept->second);
  }
  for (Member& m : state->members) {
    const auto kept = state->meta.find(kLockMarkOf + std::to_string(m.id.value));
    if (kept != state->meta.end()) m.lock = decode_mark(kept->second).value_or(LockMark{});
  }
  auto loaded = registry->load_or_create(*state);
  if (loaded) loaded = registry->load_lock(*state);
  if (loaded) registry->load_policy(*state);
  if (loaded) registry->load_given_names(*state);
  auto adopted = loaded ? registry->adopt_members(std::move(state->members)) : loaded;
  if (adopted) registry->load_last_seen(*state);
  if (adopted) registry->load_ephemeral(*state);
  for (auto& [name, value] : state->meta) crypto::wipe(value);
  if (!adopted) return adopted.error();
  return registry;
}

Result<void> Registry::load_or_create(const ports::StoredState& state) {
  ports::StoreChange change;
  std::uint64_t epoch = 0;
  network_.network = config_.network;
  network_.mtu = config_.mtu;
  if (state.meta.contains(kStaticKey)) {
    MetaReader meta(state);
    identity_.keys = crypto::key_pair_from_secret(meta.secret<32>(kStaticKey));
    identity_.signing_seed = meta.secret<32>(kSigningSeed);
    network_.id.bytes = meta.array<16>(kNetworkId);
    epoch = meta.number(kEpoch);
    next_id_ = static_cast<std::uint32_t>(meta.number(kNextId));
    if (state.meta.contains(kRecovery)) recovery_ = meta.array<sizeof(RecoveryId)>(kRecovery);
    from_store_ = true;
    if (state.join_keys.empty()) {
      // From before join keys existed: the one secret of the network.
      change.put_join_keys.emplace_back().secret = meta.array<16>(kEnrolment);
    }
    if (auto ok = meta.check(); !ok) return ok;
  } else if (config_.had_network || !state.meta.empty() || !state.members.empty() || !state.revoked.empty()) {
    return make_error(Errc::corrupt,
                      "The network is lost: the server's state holds no identity, but " +
                          config_.had_network.value_or("it holds what belongs to one: move the state directory away") +
                          ".");
  } else {
    identity_.keys = crypto::generate_key_pair(rng_);
    rng_.fill(identity_.signing_seed.writable());
    rng_.fill(network_.id.bytes);
    change.put_meta[kStaticKey] = secret_bytes(identity_.keys.secret);
    change.put_meta[kSigningSeed] = secret_bytes(identity_.signing_seed);
    change.put_join_keys.push_back(join_keys_.redraw_network_key({}, 0, rng_));
    change.put_meta[kNetworkId] = Bytes(network_.id.bytes.begin(), network_.id.bytes.end());
    change.put_meta[kNextId] = u64_bytes(next_id_);
  }
  if (!config_.started_as.empty()) {
    change.audit.push_back({.id = 0,
                            .unix_time = config_.started_at,
                            .kind = AuditEntry::Kind::server,
                            .act = "start",
                            .who = "the server",
                            .what = config_.started_as});
  }
  network_.network6 = config_.network6.value_or(default_network6(network_.id));
  signing_key_ = crypto::signing_public_key(identity_.signing_seed);
  revoked_ = {state.revoked.begin(), state.revoked.end()};
  for (const JoinKey& key : state.join_keys) join_keys_.put(key);
  for (const JoinKey& key : change.put_join_keys) join_keys_.put(key);
  version_ = oldest_delta_ = first_version(epoch);
  change.put_meta[kEpoch] = u64_bytes(version_ >> 32);
  for (ChangeLog* log : {&changes_, &records_, &states_, &presence_}) log->begin_at(version_);
  free_ = FreeAddresses(network_.network);
  auto stored = store_.commit(change);
  if (!stored && change.put_meta.size() == 1) {
    // Only the start itself is lost, and the next change records it.
    unsaved_why_ = stored.error();
    unsaved_ = std::move(change);
    return {};
  }
  for (auto& [name, value] : change.put_meta) crypto::wipe(value);
  return stored;
}

std::uint64_t Registry::first_version(std::uint64_t stored_epoch) const {
  // After a wrong clock in an older version of this program, the epoch may be the last one, or beyond it. Its changes
  // are then counted from the clock on, as no earlier start did.
  const auto floor = static_cast<std::uint64_t>(std::clamp<std::int64_t>(config_.started_at, 0, UINT32_MAX));
  if (stored_epoch >= kLastEpoch) return kLastEpoch << 32 | floor;
  const bool plausible =
      floor <= kLatestClock && (stored_epoch < std::uint64_t{kEarliestClock} || floor <= stored_epoch + kLongestPause);
  return std::max(stored_epoch + 1, plausible ? floor : 0) << 32;
}

Result<void> Registry::commit(ports::StoreChange change) {
  for (const auto& [name, value] : unsaved_.put_meta) change.put_meta.emplace(name, value);
  change.put_join_keys.insert(change.put_join_keys.begin(), unsaved_.put_join_keys.begin(),
                              unsaved_.put_join_keys.end());
  change.audit.insert(change.audit.begin(), unsaved_.audit.begin(), unsaved_.audit.end());
  auto stored = store_.commit(change);
  if (stored) unsaved_ = {};
  return stored;
}

AuditEntry Registry::by_actor(std::string act, std::string what) const {
  return {0, actor_.unix_time, AuditEntry::Kind::administrator, std::move(act), actor_.who, std::move(what)};
}

Result<void> Registry::note_act(std::string act, std::string what) {
  ports::StoreChange change;
  change.audit.push_back(by_actor(std::move(act), std::move(what)));
  return commit(std::move(change));
}

// Loads the stored members. Those whose address no longer fits the network get another one, with the same host part if
// that is free.
Result<void> Registry::adopt_members(std::vector<Member> members) {
  if (members.size() > network_.network.host_count()) {
    return make_error(Errc::exhausted, "The network " + to_string(network_.network) + " has room for " +
                                           std::to_string(network_.network.host_count()) + " members, but " +
                                           std::to_string(members.size()) +
                                           " are enrolled: choose a larger --network, or start with the old one and "
                                           "remove some with: eps members remove NAME");
  }
  std::vector<Member> homeless;
  const auto settle = [&](Member m) {
    sign_grants(m);
    put(m);
    tree_.put(m.id, record_hash(m));
    next_id_ = std::max(next_id_, m.id.value + 1);  // an id is never reused, whatever the stored number says
  };
  reserve({.ranges = for_all_});
  for (const Member& m : members) reserve(m.grants);
  for (Member& m : members) free_.contains(m.address) ? settle(m) : homeless.push_back(std::move(m));
  ports::StoreChange change;
  for (Member& m : homeless) {
    const Ip4 same_host{network_.network.base.value | (m.address.value & ~network_.network.mask())};
    auto address = free_.contains(same_host) ? same_host : free_address();
    if (!address) address = free_.lowest();  // all that are free lie in granted ranges
    EPS_CHECK(address.has_value());          // there are at most as many members as addresses
    change.audit.push_back({0, config_.started_at, AuditEntry::Kind::server, "address", "the server",
                            described(m) + " has the address " + to_string(*address) + " now, in the network " +
                                to_string(network_.network)});
    m.address = *address;
    settle(m);
    change.put_members.push_back(m);
  }
  root_at_start_ = tree_.root();
  if (change.put_members.empty()) return {};
  return commit(std::move(change));
}

void Registry::put(const Member& member) {
  members_[member.id] = member;
  by_key_[member.key] = member.id;
  by_name_.emplace(member.name, member.id);
  macs_.insert(member.mac);
  free_.take(member.address);
}

void Registry::erase(const Member& member) {
  by_key_.erase(member.key);
  if (const auto it = by_name_.find(member.name); it != by_name_.end() && it->second == member.id) by_name_.erase(it);
  next_number_.clear();  // one of them may be free again
  unreserve(member.grants);
  macs_.erase(member.mac);
  free_.release(member.address);
  for (ChangeLog* log : {&changes_, &records_, &states_, &presence_}) log->erase(member.id);
  members_.erase(member.id);
  not_signed_.erase(member.id);
}

const Member* Registry::find(MemberId id) const {
  const auto it = members_.find(id);
  return it == members_.end() ? nullptr : &it->second;
}

const Member* Registry::find_name(std::string_view name) const {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : find(it->second);
}

const Member* Registry::find_key(const PublicKey& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : find(it->second);
}

bool Registry::is_revoked(const PublicKey& key) const {
  return revoked_.contains(key);
}

bool Registry::join_writes(const PublicKey& key, std::string_view name) const {
  const Member* known = find_key(key);
  const std::string wish = make_valid_name(name);
  return known == nullptr || (!keeps_name(*known) && known->name != wish && !is_numbered(known->name, wish));
}

std::vector<Registry::Joined> Registry::join_all(std::span<const JoinRequest> requests) {
  std::vector<Staged> staged;
  ports::StoreChange change;
  for (const JoinRequest& request : requests) {
    // No member of the batch is displaced by another one of it.
    if (const auto known = by_key_.find(request.key); known != by_key_.end()) returning_.insert(known->second);
  }
  for (const JoinRequest& request : requests) staged.push_back(stage(request, change));
  returning_.clear();
  return finish(std::move(staged), std::move(change));
}

// Makes the staged joins durable, or reverts them.
std::vector<Registry::Joined> Registry::finish(std::vector<Staged> staged, ports::StoreChange change) {
  const bool added = std::ranges::any_of(staged, &Staged::added);
  if (added) change.put_meta[kNextId] = u64_bytes(next_id_);
  std::optional<Refusal> failed;
  if (!change.put_members.empty()) {
    if (auto stored = commit(change); !stored) {
      failed = cannot_save(stored.error());
      for (auto s = staged.rbegin(); s != staged.rend(); ++s) unstage(*s);
    }
  }
  std::vector<Joined> out;
  for (const Staged& s : staged) {
    const Member* joined = std::get_if<Member>(&s.result);
    const bool stored = s.added || !s.old_name.empty();
    const auto it = joined == nullptr ? members_.end() : members_.find(joined->id);
    if (joined == nullptr) {
      out.push_back(s.result);
    } else if (failed && (s.added || it == members_.end())) {
      out.push_back(*failed);
    } else {
      it->second.version = joined->version;
      it->second.relays = joined->relays;
      if (s.gave_way) {
        tell_removed(s.gave_way->member.id);
        reclaimed_.push_back(*s.gave_way);
      }
      touch(joined->id);
      states_.touch(joined->id, version_);
      if (stored) stable_fields_changed(it->second);
      // It may have waited with one key, and joined with another.
      if (s.added) std::erase_if(pending_, [&](const PendingJoin& p) { return p.request.key == joined->key; });
      out.push_back(it->second);
    }
  }
  return out;
}

Registry::Staged Registry::stage(const JoinRequest& request, ports::StoreChange& change) {
  if (is_revoked(request.key)) {
    return {Refusal{Refusal::Code::revoked,
                    "This computer was removed from the network by its administrator. To join again as a new member, "
                    "move its state directory away and start eps-client."}};
  }
  const auto known = by_key_.find(request.key);
  if (known == by_key_.end()) {
    if (auto refusal = may_not_join(request)) return {std::move(*refusal)};
    return stage_new(request, change);
  }
  Staged out;
  Member member = members_.at(known->second);
  // A client whose wished name is unchanged keeps the name derived from it.
  const std::string name = unique_name(make_valid_name(request.name), member.id);
  if (name != member.name) {
    out.old_name = member.name;
    rename(members_.at(member.id), name);
    member.name = name;
    // A member that is in the batch twice is written in its final state.
    std::erase_if(change.put_members, [&](const Member& m) { return m.id == member.id; });
    change.put_members.push_back(member);
    change.audit.push_back({0, request.unix_time, AuditEntry::Kind::rename, "rename", out.old_name,
                            "is called " + described(member) + " now"});
  }
  member.version = request.version.substr(0, kMaxVersionSize);
  member.relays = request.relays;
  out.result = std::move(member);
  return out;
}

void Registry::unstage(const Staged& staged) {
  const Member* member = std::get_if<Member>(&staged.result);
  if (member == nullptr) return;
  if (staged.used_key) join_keys_.put(*staged.used_key);
  if (staged.added) {
    erase(*member);
    presence_kept_.erase(member->id);
    --next_id_;
    if (staged.gave_way) {
      put(staged.gave_way->member);
      reserve(staged.gave_way->member.grants);
      touch(staged.gave_way->member.id);
      stable_fields_changed(staged.gave_way->member);
    }
  } else if (!staged.old_name.empty()) {
    rename(members_.at(member->id), staged.old_name);
  }
}

void Registry::skip_numbers() {
  if (!std::exchange(from_store_, false) || next_id_ > kMaxMemberId - 2 * kSkippedNumbers) return;
  next_id_ += static_cast<std::uint32_t>(rng_.below(kSkippedNumbers));
}

std::optional<Refusal> Registry::no_room(bool has_address) const {
  const std::string network = "The network " + to_string(network_.network);
  if (!has_address) {
    return Refusal{Refusal::Code::full, network + " is full: all " + std::to_string(network_.network.host_count()) +
                                            " addresses are taken, none by a computer that has been away for long. On "
                                            "the server, free one with: eps members remove "
                                            "NAME, or start eps-server with a larger --network."};
  }
  if (members_.size() >= kMaxMembers) {
    return Refusal{Refusal::Code::full, network + " has " + std::to_string(kMaxMembers) +
                                            " members, the most that one server serves. On the server, remove one "
                                            "with: eps members remove NAME."};
  }
  if (next_id_ > kMaxMemberId) {
    return Refusal{Refusal::Code::full, network +
                                            " has given out every member number. Begin a new network: on the server, "
                                            "move the state directory away and start eps-server."};
  }
  return std::nullopt;
}

Result<Member> Registry::remove(std::string_view name) {
  const Member* found = find_name(name);
  if (found == nullptr) {
    return make_error(Errc::not_found, "There is no member \"" + std::string(name) + "\"; see: eps members");
  }
  const Member member = *found;
  ports::StoreChange change;
  change.remove_members.push_back(member.id);
  change.revoke.push_back(member.key);
  change.audit.push_back(by_actor("remove", described(member) + ", member " + std::to_string(member.id.value) +
                                                ", key " + to_base32(member.key.bytes)));
  if (member.grants.any()) change.put_meta[kGrantsOf + std::to_string(member.id.value)] = {};
  forget_mark(member, change);
  if (auto stored = commit(std::move(change)); !stored) return stored.error();
  erase(member);
  revoked_.insert(member.key);
  tell_removed(member.id);
  return member;
}

// Everybody must hear that the member is gone. REQUIRES: erase() before.
void Registry::tell_removed(MemberId id) {
  tree_.erase(id);
  presence_kept_.erase(id);
  given_names_.erase(id);
  tombstones_.emplace_back(++version_, id);
  digest_.reset();
  records_.begin_at(version_);
  if (tombstones_.size() > kMaxTombstones) {
    oldest_delta_ = tombstones_.front().first;
    tombstones_.pop_front();
  }
}

void Registry::set_online(MemberId id, bool online) {
  const auto it = members_.find(id);
  if (it == members_.end() || it->second.online == online) return;
  it->second.online = online;
  if (!online) it->second.candidates.clear();
  touch(id);
  states_.touch(id, version_);
  presence_.touch(id, version_);
}

void Registry::set_candidates(MemberId id, std::vector<Candidate> candidates) {
  const auto it = members_.find(id);
  if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
  if (it == members_.end() || it->second.candidates == candidates) return;
  it->second.candidates = std::move(candidates);
  touch(id);
  states_.touch(id, version_);
}

Delta Registry::delta_since(std::uint64_t version) const {
  return since(changes_, version, version_);
}

Delta Registry::records_since(std::uint64_t version) const {
  Delta delta = since(records_, version, records_version());
  if (policy_changed_since(version) || delta.full) delta.policy = policy_;
  return delta;
}

Delta Registry::since(const ChangeLog& changes, std::uint64_t version, std::uint64_t now) const {
  Delta delta{.from = version, .to = now, .full = false, .upserts = {}, .removed = {}};
  delta.full = version < oldest_delta_ || version > now || version >> 32 != now >> 32;
  if (delta.full) {
    delta.from = 0;
    for (const auto& [id, member] : members_) delta.upserts.push_back(member);
    return delta;
  }
  changes.since(version, [&](MemberId id) { delta.upserts.push_back(members_.at(id)); });
  const auto first = std::ranges::upper_bound(tombstones_, version, {}, [](const auto& t) { return t.first; });
  for (auto t = first; t != tombstones_.end(); ++t) delta.removed.push_back(t->second);
  return delta;
}

std::uint64_t Registry::resume(std::uint64_t version, const crypto::Hash& root) const {
  if (version == 0) return 0;
  if (root == tree_.root()) return records_version();
  const bool ours = version >= oldest_delta_ && version <= records_version();
  if (ours) return version;
  // All removals since the start are covered by the tombstones.
  const std::uint64_t start = version_ >> 32 << 32;
  return root == root_at_start_ && oldest_delta_ <= start ? start : 0;
}

const crypto::Hash& Registry::digest() const {
  if (!digest_) digest_ = list_digest(members_);
  return *digest_;
}

const crypto::Signature& Registry::signature() const {
  if (signed_version_ != version_) {
    signature_ = crypto::sign(identity_.signing_seed, signed_list_message(network_.id, version_, digest()));
    signed_version_ = version_;
  }
  return signature_;
}

const crypto::Signature& Registry::records_signature(const RecoveryId& recovery) const {
  RecordsSignature& kept = records_signatures_[recovery];
  if (kept.version != records_version()) {
    kept.signature =
        crypto::sign(identity_.signing_seed, signed_records_message(network_.id, recovery, records_version(), root()));
    kept.version = records_version();
  }
  return kept.signature;
}

std::optional<Ip4> Registry::free_address() const {
  if (config_.sequential) return not_granted(free_.lowest());
  const std::uint32_t first = network_.network.base.value + 1;
  const auto draw = [&] { return Ip4{first + static_cast<std::uint32_t>(rng_.below(network_.network.host_count()))}; };
  for (int i = 0; i < kDraws; ++i) {
    if (const Ip4 ip = draw(); free_.contains(ip) && !granted(ip.value)) return ip;
  }
  return not_granted(free_.from(draw()));
}

// This address, or the next free one after ranges granted to somebody.
std::optional<Ip4> Registry::not_granted(std::optional<Ip4> ip) const {
  for (std::size_t i = 0; ip && i <= granted_.size(); ++i) {
    const std::optional<IpNetwork> range = granted(ip->value);
    if (!range) return ip;
    const std::uint32_t rest = range->length == 128 ? 0 : ~std::uint32_t{0} >> (range->length - 96);
    ip = free_.from({(range->base.v4().value | rest) + 1});
  }
  return std::nullopt;
}

Mac Registry::free_mac() const {
  for (;;) {
    Mac mac;
    rng_.fill(mac.bytes);
    mac.bytes[0] = std::byte{0x02};  // locally administered, unicast (IEEE 802, section 8.4)
    if (!macs_.contains(mac)) return mac;
  }
}

void Registry::stable_fields_changed(const Member& member) {
  records_.touch(member.id, version_);
  not_signed_.erase(member.id);
  tree_.put(member.id, record_hash(member));
  digest_.reset();
}

}  // namespace eps::registry
