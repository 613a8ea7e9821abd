// SPDX-License-Identifier: MIT
#pragma once

// Key continuity: which static key belonged to each member number, name and address that this client has seen, and how
// a member list contradicts that. The server's signature says who is a member; this says whether it is still the same
// one.
//
// A member whose key differs from the one known for its number, its name or its address is refused, with one exception:
// a re-enrolment that the list proves. The known key is no longer in the list, and the member has a new number, as
// numbers are never reused. Such a successor is accepted and reported, because whoever controls the server can also
// remove a member and enrol another under its name.
//
// Sans I/O. Thread rules: one thread at a time.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/members_changed.h"
#include "model/network.h"
#include "model/status.h"
#include "node/known_keys.h"
#include "node/refused_peer.h"

namespace eps::node {

// Per kind of binding. Bindings that are no longer in the list are dropped first.
inline constexpr std::size_t kMaxKnown = 2 * kMaxMembers;
inline constexpr std::size_t kMaxKnownFile = 8 * 1024 * 1024;  // bytes of the largest text
inline constexpr Duration kToldFor = std::chrono::hours(24);   // a successor, by `eps doctor`
inline constexpr std::size_t kMaxSuccessorsTold = 16;

class KnownPeers {
 public:
  using Refused = RefusedPeer;

  // Judges the members of the list other than this one, and remembers those that are not refused. After a first look at
  // a list it is enough to name those that changed, joined or left since: besides them, only refused members are judged
  // again. Returns the judged members.
  MembersChanged look(const MemberList& list, const PublicKey& own, Instant now, MembersChanged changed = {true, {}});
  const std::map<MemberId, Refused>& refused() const { return refused_; }
  // The member's present key becomes the known one. REQUIRES: look() at the whole list afterwards
  void trust(const Member& member);

  // Log sentences, emptied by the call: what the user must know, and what is merely useful.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }
  // Successors of known peers, for a day.
  std::vector<LanFinding> findings(Instant now) const;

  // Whether something was learned since the last take_changed().
  bool changed() const { return changed_; }
  bool take_changed() { return std::exchange(changed_, false); }
  // The network's server, then a line per key: the key and what it is known by.
  std::string encode(const PublicKey& server) const;
  // The bindings of this server; empty if the text is another server's. Errc::corrupt: "it ...".
  static Result<KnownPeers> decode(std::string_view text, const PublicKey& server);
  std::size_t size() const { return keys_.ids(); }

 private:
  std::optional<std::string> judge(const Member& member, const MemberList& list);
  void judge_and_learn(const Member& member, const MemberList& list, Instant now);
  const Member* in_list(const PublicKey& key, const MemberList& list);
  void learn(const Member& member);
  void succeed(const Member& member, Instant now);
  void shrink(const MemberList& list);

  struct Successor {
    std::string name, what, mend;
    Instant at{};
  };
  KnownKeys keys_;
  std::map<MemberId, Refused> refused_;
  std::vector<Successor> successors_;
  std::vector<std::string> warnings_, notes_;
  // The list by key, once needed; changed keys and former members stay in it until the whole list is examined.
  std::unordered_map<PublicKey, MemberId> listed_;
  bool changed_ = false;
};

}  // namespace eps::node
