// SPDX-License-Identifier: MIT
#include "mesh/anchors.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

namespace eps::mesh {
namespace {
// The finalizer of SplitMix64: neighbours become independent.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}
}  // namespace

std::vector<MemberId> choose_anchors(std::vector<AnchorCandidate> all) {
  std::erase_if(all, [](const AnchorCandidate& c) { return !c.reachable && !c.direct; });
  std::ranges::sort(all, {}, [](const AnchorCandidate& c) { return std::tuple(!c.reachable, !c.relays, c.id.value); });
  if (all.size() > kAnchors) all.resize(kAnchors);
  std::vector<MemberId> out;
  for (const AnchorCandidate& c : all) out.push_back(c.id);
  return out;
}

std::vector<MemberId> anchors_of(MemberId of, const std::vector<MemberId>& reachable, std::size_t members) {
  if (reachable.empty()) return {};
  const std::size_t load = std::min(kAnchors, reachable.size()) * members / reachable.size();
  if (load > kAnchorLoad && mixed(of.value) % load >= kAnchorLoad) return {};
  std::vector<std::pair<std::uint64_t, MemberId>> drawn;
  for (const MemberId id : reachable) {
    if (id != of) drawn.emplace_back(mixed(std::uint64_t{of.value} << 32 | id.value), id);
  }
  const auto end = drawn.begin() + static_cast<std::ptrdiff_t>(std::min(kAnchors, drawn.size()));
  std::ranges::partial_sort(drawn, end);
  std::vector<MemberId> out;
  for (auto it = drawn.begin(); it != end; ++it) out.push_back(it->second);
  return out;
}

}  // namespace eps::mesh
