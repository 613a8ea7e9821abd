#include "mesh/anchors.h"

#include <algorithm>
#include <tuple>

namespace eps::mesh {

std::vector<MemberId> choose_anchors(std::vector<AnchorCandidate> all) {
  std::erase_if(all, [](const AnchorCandidate& c) { return !c.reachable && !c.direct; });
  std::ranges::sort(all, {}, [](const AnchorCandidate& c) { return std::tuple(!c.reachable, !c.relays, c.id.value); });
  if (all.size() > kAnchors) all.resize(kAnchors);
  std::vector<MemberId> out;
  for (const AnchorCandidate& c : all) out.push_back(c.id);
  return out;
}

}  // namespace eps::mesh
