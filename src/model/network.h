// SPDX-License-Identifier: MIT
#pragma once

// The domain's nouns: a network, its members, and the versioned list of them.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/ip_network.h"
#include "base/limits.h"
#include "base/types.h"

namespace eps {

// A random name that the server gives its network at creation; bound into every handshake's prologue.
struct NetworkId {
  std::array<std::byte, 16> bytes{};
  auto operator<=>(const NetworkId&) const = default;
};

struct NetworkInfo {
  NetworkId id;
  Ip4Network network;
  std::uint16_t mtu = kDefaultMtu;         // of the EPS interface, Ethernet header not counted
  std::optional<IpNetwork> network6 = {};  // a /64; nullopt: the server is of version 0.1 and gives IPv4 addresses only
  bool operator==(const NetworkInfo&) const = default;
};

// The unique local /64 (RFC 4193) derived from the network's id.
IpNetwork default_network6(const NetworkId& id);
// Whether members may have addresses from it: a /64 of routable unicast addresses.
bool usable_network6(const IpNetwork& network);
// The address of the member with this MAC, with the interface id of RFC 4291, appendix A. REQUIRES: a /64
IpAddress address6_of(const IpNetwork& network, const Mac& mac);

// An endpoint at which a member may be directly reachable.
struct Candidate {
  enum class Kind : std::uint8_t {
    local = 1,     // an address of one of the member's interfaces
    observed = 2,  // the source of the member's data socket as the server saw it
    mapped = 3,    // a port mapping that the member asked its router for
    seen = 4,      // the source of the data socket as another member saw it
  };
  Kind kind = Kind::local;
  Endpoint endpoint;
  auto operator<=>(const Candidate&) const = default;
};

// What a member may do besides, one bit each where it is encoded.
enum class Permission : std::uint8_t {
  bridge = 1,  // machines behind it, with MACs and addresses of their own
  dhcp = 2,    // to configure others as a DHCP server
};
// "bridge", "dhcp".
const char* name_of(Permission permission);
std::optional<Permission> parse_permission(std::string_view name);

// 64 bytes in a member's record that are zero for most members, and take no room there.
class RareSignature {
 public:
  using Bytes = std::array<std::byte, 64>;
  RareSignature() = default;
  RareSignature(const Bytes& bytes) {
    if (bytes != Bytes{}) bytes_ = std::make_shared<const Bytes>(bytes);
  }
  const Bytes& bytes() const {
    static constexpr Bytes kZero{};
    return bytes_ ? *bytes_ : kZero;
  }
  operator const Bytes&() const { return bytes(); }
  operator std::span<const std::byte>() const { return bytes(); }
  bool operator==(const RareSignature& other) const { return bytes() == other.bytes(); }

 private:
  std::shared_ptr<const Bytes> bytes_;  // null: zero
};

// What a member may use besides its own MAC and addresses, granted by the server's administrator (registry/grants.h).
struct Grants {
  std::vector<IpNetwork> ranges;  // further addresses
  bool bridge = false;            // Permission::bridge
  bool dhcp = false;              // Permission::dhcp
  RareSignature signature = {};   // of the server; zero where nothing is granted
  bool any() const { return bridge || dhcp || !ranges.empty(); }
  bool& of(Permission permission) { return permission == Permission::bridge ? bridge : dhcp; }
  // Permissions, as they are signed and stored.
  std::uint8_t bits() const { return static_cast<std::uint8_t>((bridge ? 1 : 0) | (dhcp ? 2 : 0)); }
  bool may_serve_dhcp() const { return dhcp || bridge; }
  bool operator==(const Grants&) const = default;
};

// The signature of the network lock over a member's record (registry/network_lock.h).
struct LockMark {
  std::uint64_t sequence = 0;  // grows with each signature for this member; 0: it is not signed
  RareSignature record = {};   // over all but the grants
  RareSignature grants = {};   // zero where none are signed
  bool operator==(const LockMark&) const = default;
};

// The policy of the network, as its administrator wrote it (policy/policy.h). Part of the list.
struct NetworkPolicy {
  std::string text;            // valid_policy_text(); empty: there is none, and everything is allowed
  std::uint64_t sequence = 0;  // of the signature of the network lock; grows with each; 0: it is not signed
  std::array<std::byte, 64> signature{};
  bool any() const { return !text.empty() || sequence != 0; }
  bool operator==(const NetworkPolicy&) const = default;
};
// Printable ASCII in lines, within kMaxPolicyText: it is shown on terminals.
bool valid_policy_text(std::string_view text);
// 1 to kMaxGroupName lower-case letters, digits, '-' and '_'.
bool valid_group(std::string_view name);

struct Member {
  // Stable: kept by the server until the member is removed.
  MemberId id;
  PublicKey key;
  std::string name;  // valid_name()
  Mac mac;           // assigned by the server, unicast, locally administered
  Ip4 address;
  Grants grants;
  std::vector<std::string> groups;  // of the policy, in order; valid_group()
  LockMark lock;
  // Volatile: true only while the member is connected to the server.
  bool online = false;
  std::vector<Candidate> candidates;
  std::string version;  // of the member's program
  bool relays = false;  // it relays for other members when they ask
  bool operator==(const Member&) const = default;
};

// 1 to 63 letters, digits, '-', '_' or '.', so that a name is safe in logs, file names and shells.
bool valid_name(std::string_view name);

// Converts a hostname or any other text into a valid name; "member" if nothing usable remains.
std::string make_valid_name(std::string_view text);

// Members by number, in order. Copies share the records, which nobody changes: a new one takes the place of the old.
// So a list that several parts of a program keep, each as it knows it, costs each 20 bytes a member where they agree.
class MemberMap {
 public:
  using Record = std::shared_ptr<const Member>;

 private:
  // Up to 64 neighbouring numbers each, in order, never empty: a change moves a few records, however many there are.
  static constexpr unsigned kChunkBits = 6;
  using Chunk = std::vector<Record>;
  using Chunks = std::map<std::uint32_t, Chunk>;

 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = std::pair<const MemberId&, const Member&>;
    using pointer = void;
    using reference = value_type;
    Iterator() = default;
    value_type operator*() const { return {record()->id, *record()}; }
    const Record& record() const { return chunk_->second[at_]; }
    Iterator& operator++() {
      if (++at_ == chunk_->second.size()) *this = {std::next(chunk_), 0};
      return *this;
    }
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator&) const = default;

   private:
    friend class MemberMap;
    Iterator(Chunks::const_iterator chunk, std::size_t at) : chunk_(chunk), at_(at) {}
    Chunks::const_iterator chunk_;
    std::size_t at_ = 0;
  };

  MemberMap() = default;
  MemberMap(std::initializer_list<std::pair<MemberId, Member>> members);
  // Copies the records.
  MemberMap(const std::map<MemberId, Member>& members);

  Iterator begin() const { return {chunks_.begin(), 0}; }
  Iterator end() const { return {chunks_.end(), 0}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Null: there is none.
  Record record(MemberId id) const;
  const Member* find(MemberId id) const { return record(id).get(); }
  bool contains(MemberId id) const { return find(id) != nullptr; }
  void put(Record record);
  void put(const Member& member) { put(std::make_shared<const Member>(member)); }
  void erase(MemberId id);
  bool operator==(const MemberMap& other) const;

 private:
  Chunks chunks_;
  std::size_t size_ = 0;
};

// A change of the member list. `full` replaces the list, otherwise it applies to version `from` only.
struct Delta {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool full = false;
  std::vector<Member> upserts;
  std::vector<MemberId> removed;
  std::optional<NetworkPolicy> policy = {};  // nullopt: as before, or none if it is full
  bool operator==(const Delta&) const = default;
};

// Versions count from one beginning of the list; at another one, which an administrator of the server makes, they start
// again (registry/list_digest.h). Zero: the first one.
using RecoveryId = std::array<std::byte, 16>;

// The list of members at one version.
class MemberList {
 public:
  std::uint64_t version() const { return version_; }
  const MemberMap& members() const { return members_; }
  const Member* find(MemberId id) const { return members_.find(id); }
  const Member* find_name(std::string_view name) const;
  const NetworkPolicy& policy() const { return policy_; }
  // False, changing nothing, if the delta is older than this list, or if it is not full and starts at a version other
  // than the list's. Records that are as in `like` are shared with it.
  bool apply(const Delta& delta, const MemberMap& like = {});
  const RecoveryId& recovery() const { return recovery_; }
  // The next full delta replaces the list, whatever its version.
  void begin_anew(const RecoveryId& recovery) {
    version_ = 0;
    recovery_ = recovery;
  }
  // Members without candidates get those that `older` has for them: a restarted server has none yet.
  void keep_candidates(const MemberList& older);

 private:
  std::uint64_t version_ = 0;
  RecoveryId recovery_{};
  MemberMap members_;
  NetworkPolicy policy_;
};

// Seconds since 1970, in 2020: a clock that shows less is wrong.
inline constexpr std::int64_t kEarliestClock = 1'577'836'800;

// A version as shown to people: the server's epoch and the number of changes in it.
std::string list_version_text(std::uint64_t version);
// And as used by programs: one number below 2^53, which every JSON reader represents exactly. Epochs are start times in
// seconds, so it grows with the version as long as there are at most a million changes a second.
inline constexpr int kListVersionBits = 20;
std::uint64_t list_version_number(std::uint64_t version);

// What a client stores about its network, so that it can run without the server.
struct NetworkCache {
  PublicKey server;       // for whose network key it joined
  PublicKey signing_key;  // of that server, from the first join on
  NetworkInfo network;
  Member self;
  MemberList list;                        // version 0: none received yet
  std::array<std::byte, 64> signature{};  // of the server, over the list
  std::uint16_t also_port = 0;            // the server also listens there; 0: it does not
  std::uint16_t data_port = 0;            // our own UDP port, where peers expect us
};

}  // namespace eps
