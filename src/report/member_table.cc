// SPDX-License-Identifier: MIT
#include "report/member_table.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "report/text.h"

namespace eps::report {
namespace {

std::string counts(std::size_t members, std::size_t online) {
  return counted(members, "member") + ", " + std::to_string(online) + " online";
}

// In one row, if there are few.
std::string names(const MemberMap& members) {
  std::string out;
  for (const auto& [id, m] : members) {
    out += (out.empty() ? "" : ", ") + m.name + " (" + to_string(m.address) + (m.online ? ")" : ", offline)");
  }
  return out;
}

}  // namespace

std::string member_table(const MemberMap& members) {
  std::vector<const Member*> sorted;
  for (const auto& [id, member] : members) sorted.push_back(&member);
  std::ranges::sort(sorted, {}, [](const Member* m) { return m->address; });
  const auto online = static_cast<std::size_t>(std::ranges::count_if(sorted, &Member::online));

  std::vector<std::vector<std::string>> rows;
  for (const Member* m : sorted) rows.push_back({"  " + to_string(m->address), m->name, m->online ? "" : "offline"});
  std::string out = counts(sorted.size(), online);
  if (!rows.empty()) out += ":\n" + columns(rows);
  if (out.back() == '\n') out.pop_back();
  return out;
}

std::string MemberChanges::change(const Member* was, const Member& is) {
  const std::string who = is.name + " (" + to_string(is.address) + ")";
  if (was == nullptr) return who + " is a new member" + (is.online ? ", and online." : ".");
  if (was->name != is.name) return was->name + " is called " + who + " now.";
  if (was->address != is.address) return who + " had the address " + to_string(was->address) + " before.";
  if (was->online != is.online) return who + (is.online ? " is online." : " is offline.");
  return "";
}

std::vector<std::string> MemberChanges::look(const MemberMap& members, Instant now, const MembersChanged& changed) {
  std::vector<std::string> out;
  std::size_t changes = 0;
  const auto tell = [&](const std::string& sentence) {
    if (sentence.empty()) return;
    if (++changes <= kMaxChangesTold) out.push_back(sentence);
  };
  const auto tell_change = [&](const Member* was, const Member& is) {
    std::string sentence = change(was, is);
    tell(was == nullptr || sentence.empty() ? sentence : paces_[is.id].pass(std::move(sentence), now));
  };
  const auto leave = [&](const Member& was) {
    paces_.erase(was.id);
    tell(was.name + " (" + to_string(was.address) + ") is no longer a member.");
  };
  if (changed.all) {
    for (const auto& [id, was] : seen_) {
      if (!members.contains(id)) leave(was);
    }
    const MemberMap before = std::exchange(seen_, members);
    for (const auto& [id, is] : members) tell_change(before.find(id), is);
  } else {
    for (const MemberId id : changed.ids) {
      const Member* was = seen_.find(id);
      if (was == nullptr || members.contains(id)) continue;
      leave(*was);
      seen_.erase(id);
    }
    for (const MemberId id : changed.ids) {
      MemberMap::Record is = members.record(id);
      if (is == nullptr) continue;
      tell_change(seen_.find(id), *is);
      seen_.put(std::move(is));
    }
  }
  const bool first = !std::exchange(looked_, true);
  if (!first && changes <= kMaxChangesTold) return out;
  std::size_t online = 0;
  for (const auto& [id, m] : members) online += m.online ? 1 : 0;
  if (first) {
    const bool few = !members.empty() && members.size() <= kMaxChangesTold;
    return {counts(members.size(), online) + (few ? ": " + names(members) : "") + "."};
  }
  return {counts(members.size(), online) + "; " + std::to_string(changes) + " changes at once."};
}

}  // namespace eps::report
