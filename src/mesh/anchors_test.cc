// SPDX-License-Identifier: MIT
#include "mesh/anchors.h"

#include <gtest/gtest.h>

#include <map>

namespace eps::mesh {
namespace {

TEST(Anchors, ReachableMembersComeFirstThenThoseThatRelayThenTheLowestNumbers) {
  const auto chosen = choose_anchors({{{5}, false, false, true},
                                      {{4}, true, false, false},
                                      {{3}, true, false, true},
                                      {{9}, true, true, false},
                                      {{1}, false, true, true}});
  EXPECT_EQ(chosen, (std::vector<MemberId>{{9}, {3}, {4}}));
}

TEST(Anchors, MemberBehindANatIsAnAnchorOnlyWithADirectPath) {
  EXPECT_EQ(choose_anchors({{{1}, false, true, false}, {{2}, false, false, true}}), std::vector<MemberId>{{2}});
  EXPECT_TRUE(choose_anchors({}).empty());
}

TEST(Anchors, TwoMembersThatReachTheSameChooseTheSame) {
  std::vector<AnchorCandidate> all;
  for (std::uint32_t id = 1; id <= 20; ++id) all.push_back({{id}, id % 3 == 0, false, id % 2 == 0});
  auto others = all;
  for (AnchorCandidate& c : others) c.direct = !c.direct;
  EXPECT_EQ(choose_anchors(all), choose_anchors(others));
}

TEST(Anchors, InALargeNetworkTheySpread) {
  constexpr std::uint32_t kMembers = 10'000;
  for (const std::uint32_t every : {10U, 100U, 5'000U}) {
    std::vector<MemberId> reachable;
    for (std::uint32_t id = every; id <= kMembers; id += every) reachable.push_back({id});
    std::map<MemberId, std::size_t> served;
    for (std::uint32_t id = 1; id <= kMembers; ++id) {
      for (const MemberId anchor : anchors_of({id}, reachable, kMembers)) {
        EXPECT_NE(anchor, MemberId{id});
        ++served[anchor];
      }
    }
    const std::size_t mean = std::min<std::size_t>(kAnchorLoad, kAnchors * every);
    for (const auto& [anchor, n] : served) EXPECT_LE(n, 2 * mean + 10) << anchor.value << " of every " << every;
    EXPECT_EQ(served.size(), reachable.size()) << "each serves some";
  }
  EXPECT_TRUE(anchors_of({1}, {}, kMembers).empty());
}

}  // namespace
}  // namespace eps::mesh
