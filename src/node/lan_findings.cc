// SPDX-License-Identifier: MIT
#include "node/lan_findings.h"

#include <algorithm>

namespace eps::node {

std::optional<std::string> LanFindings::note(std::string what, std::string mend, Instant now, MemberId about) {
  auto found = std::ranges::find(kept_, what, &Kept::what);
  if (found == kept_.end()) {
    if (kept_.size() >= kMaxFindings) kept_.erase(std::ranges::min_element(kept_, {}, &Kept::met));
    found = kept_.insert(kept_.end(), {std::move(what), std::move(mend), now, now, about});
  } else {
    found->met = now;
    if (now - found->told < kTellAgain) return std::nullopt;
    found->told = now;
  }
  return found->what + " " + found->mend;
}

void LanFindings::forget(MemberId about) {
  std::erase_if(kept_, [&](const Kept& k) { return k.about == about; });
}

std::vector<LanFinding> LanFindings::list(Instant now) const {
  std::vector<LanFinding> out;
  for (const Kept& k : kept_) {
    if (now - k.met <= kFindingLife) out.push_back({k.what, k.mend, now - k.met});
  }
  return out;
}

}  // namespace eps::node
