#include "mesh/anchors.h"

#include <gtest/gtest.h>

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

TEST(Anchors, WhoIsBehindANatIsOneOnlyWhileThereIsADirectPath) {
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

}  // namespace
}  // namespace eps::mesh
