#include "report/member_table.h"

#include <algorithm>
#include <vector>

#include "report/text.h"

namespace eps::report {

std::string member_table(const std::map<MemberId, Member>& members) {
  std::vector<const Member*> sorted;
  for (const auto& [id, member] : members) sorted.push_back(&member);
  std::ranges::sort(sorted, {}, [](const Member* m) { return m->address; });
  const auto online = std::ranges::count_if(sorted, &Member::online);

  std::vector<std::vector<std::string>> rows;
  for (const Member* m : sorted) rows.push_back({"  " + to_string(m->address), m->name, m->online ? "" : "offline"});
  std::string out = std::to_string(sorted.size()) + (sorted.size() == 1 ? " member, " : " members, ") +
                    std::to_string(online) + " online";
  if (!rows.empty()) out += ":\n" + columns(rows);
  if (out.back() == '\n') out.pop_back();
  return out;
}

}  // namespace eps::report
