// SPDX-License-Identifier: MIT
#include "node/policy_keeper.h"

#include <gtest/gtest.h>

#include "support/seeded_rng.h"

namespace eps::node {
namespace {

Member member(std::uint32_t id, std::string name, std::vector<std::string> groups = {}) {
  Member out;
  out.id = {id};
  out.name = std::move(name);
  out.groups = std::move(groups);
  return out;
}

class PolicyKeeperTest : public testing::Test {
 protected:
  bool allows(const Member& peer, dataplane::Heading heading) {
    return keeper_.rules_for(peer)->of(heading).decide({{}, {}, true, policy::kTcp, 443}).allow;
  }
  test::SeededRng rng_{3};
  PolicyKeeper keeper_{rng_};
  const Member self_ = member(1, "hub");
  const NetworkPolicy policy_{"group iot\nallow group:iot to hub\n", 0, {}};
};

TEST_F(PolicyKeeperTest, HasNothingWithoutAPolicy) {
  EXPECT_FALSE(keeper_.set({}, self_));
  EXPECT_EQ(keeper_.in_force(), nullptr);
  EXPECT_EQ(keeper_.rules_for(self_), nullptr);
  EXPECT_FALSE(keeper_.status());
  EXPECT_TRUE(keeper_.set(policy_, self_));
  EXPECT_NE(keeper_.in_force(), nullptr);
  EXPECT_TRUE(keeper_.set({}, self_));
  EXPECT_EQ(keeper_.in_force(), nullptr);
}

TEST_F(PolicyKeeperTest, FollowsTheGroupsOfPeersAndItself) {
  const Member lamp = member(2, "lamp"), device = member(2, "lamp", {"iot"});
  keeper_.set(policy_, self_);
  EXPECT_FALSE(allows(lamp, dataplane::Heading::in));
  const auto before = keeper_.in_force();
  keeper_.peer_changed(lamp, device);
  EXPECT_NE(keeper_.in_force(), before) << "known flows are evaluated again";
  EXPECT_TRUE(allows(device, dataplane::Heading::in));
  EXPECT_FALSE(allows(device, dataplane::Heading::out));
  EXPECT_TRUE(keeper_.set(policy_, member(1, "desk")));
  EXPECT_FALSE(allows(device, dataplane::Heading::in));
  EXPECT_FALSE(keeper_.set(policy_, member(1, "desk")));
}

TEST_F(PolicyKeeperTest, LetsNothingPassByAPolicyThatItCannotRead) {
  keeper_.set({"permit all\n", 0, {}}, self_);
  EXPECT_FALSE(allows(member(2, "lamp"), dataplane::Heading::in));
  EXPECT_NE(keeper_.status()->trouble, "");
}

TEST_F(PolicyKeeperTest, TellsEachRuleOnceInAWhile) {
  keeper_.set(policy_, self_);
  const Member lamp = member(2, "lamp");
  const dataplane::PolicyDropped dropped{{2}, dataplane::Heading::in, 1};
  const Instant now{std::chrono::hours(1)};
  EXPECT_EQ(keeper_.tell(dropped, lamp, now),
            "The network's policy drops frames from lamp to hub (no rule allows it).");
  EXPECT_EQ(keeper_.tell(dropped, lamp, now + std::chrono::minutes(1)), std::nullopt);
  EXPECT_NE(keeper_.tell({{2}, dataplane::Heading::out, 1}, lamp, now), std::nullopt);
  EXPECT_NE(keeper_.tell(dropped, lamp, now + kTellPolicyAgain), std::nullopt);
}

}  // namespace
}  // namespace eps::node
