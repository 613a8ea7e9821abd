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
std::string names(const std::map<MemberId, Member>& members) {
  std::string out;
  for (const auto& [id, m] : members) {
    out += (out.empty() ? "" : ", ") + m.name + " (" + to_string(m.address) + (m.online ? ")" : ", offline)");
  }
  return out;
}

}  // namespace

std::string member_table(const std::map<MemberId, Member>& members) {
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

std::string MemberChanges::change(const Seen* was, const Seen& is) {
  const std::string who = is.name + " (" + to_string(is.address) + ")";
  if (was == nullptr) return who + " is a new member" + (is.online ? ", and online." : ".");
  if (was->name != is.name) return was->name + " is called " + who + " now.";
  if (was->address != is.address) return who + " had the address " + to_string(was->address) + " before.";
  if (was->online != is.online) return who + (is.online ? " is online." : " is offline.");
  return "";
}

std::vector<std::string> MemberChanges::look(const std::map<MemberId, Member>& members, const MembersChanged& changed) {
  std::vector<std::string> out;
  std::size_t changes = 0;
  const auto tell = [&](const std::string& sentence) {
    if (sentence.empty()) return;
    if (++changes <= kMaxChangesTold) out.push_back(sentence);
  };
  const auto look_at = [&](MemberId id, const Member& m) {
    const Seen is{m.name, m.address, m.online};
    const auto [it, added] = seen_.try_emplace(id, is);
    tell(change(added ? nullptr : &it->second, is));
    it->second = is;
  };
  const auto leave = [&](auto it) {
    tell(it->second.name + " (" + to_string(it->second.address) + ") is no longer a member.");
    return seen_.erase(it);
  };
  if (changed.all) {
    for (auto it = seen_.begin(); it != seen_.end();) it = members.contains(it->first) ? std::next(it) : leave(it);
    for (const auto& [id, m] : members) look_at(id, m);
  } else {
    for (const MemberId id : changed.ids) {
      if (const auto it = seen_.find(id); it != seen_.end() && !members.contains(id)) leave(it);
    }
    for (const MemberId id : changed.ids) {
      if (const auto it = members.find(id); it != members.end()) look_at(id, it->second);
    }
  }
  const bool first = !std::exchange(looked_, true);
  if (!first && changes <= kMaxChangesTold) return out;
  const auto online =
      static_cast<std::size_t>(std::ranges::count_if(members, [](const auto& m) { return m.second.online; }));
  if (first) {
    const bool few = !members.empty() && members.size() <= kMaxChangesTold;
    return {counts(members.size(), online) + (few ? ": " + names(members) : "") + "."};
  }
  return {counts(members.size(), online) + "; " + std::to_string(changes) + " changes at once."};
}

}  // namespace eps::report
