#pragma once

// The list of members for the log, written whenever somebody joins, leaves or changes:
//
//   3 members, 2 online:
//     192.168.43.7   alice
//     192.168.43.21  bob    offline

#include <map>
#include <string>

#include "model/network.h"

namespace eps::report {

// Ordered by address.
std::string member_table(const std::map<MemberId, Member>& members);
inline std::string member_table(const MemberList& list) {
  return member_table(list.members());
}

}  // namespace eps::report
