// SPDX-License-Identifier: MIT
#pragma once

// The list of members for the log: a line for each change, and the whole table on request.
//
//   bob (192.168.43.21) is offline.
//
//   3 members, 2 online:
//     192.168.43.7   alice
//     192.168.43.21  bob    offline

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/line_pace.h"
#include "base/time.h"
#include "model/members_changed.h"
#include "model/network.h"

namespace eps::report {

// Ordered by address.
std::string member_table(const MemberMap& members);
inline std::string member_table(const MemberList& list) {
  return member_table(list.members());
}

// With more changes at once, as when the server comes back, one line gives their number.
inline constexpr std::size_t kMaxChangesTold = 10;

// The changes since the last call, one sentence each. The first call counts the members, and names them if they are at
// most kMaxChangesTold: a client that gets its first list after others have joined sees no change of theirs. Of a
// member that changes all the time, few are told (base/line_pace.h).
class MemberChanges {
 public:
  // `changed`: the members that can have changed since, when that is known.
  std::vector<std::string> look(const MemberMap& members, Instant now, const MembersChanged& changed = {true, {}});

 private:
  static std::string change(const Member* was, const Member& is);

  bool looked_ = false;
  MemberMap seen_;
  std::unordered_map<MemberId, LinePace> paces_;  // of those that have changed
};

}  // namespace eps::report
