// SPDX-License-Identifier: MIT

// The policy and the groups of members in the server's hands.

#include <gmock/gmock.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class RegistryPolicyTest : public RegistryTest {
 protected:
  void SetUp() override {
    open();
    join(1, "hub");
  }
};

TEST_F(RegistryPolicyTest, ThePolicyIsDurableAndPartOfTheSignedList) {
  const crypto::Hash empty = registry_->root();
  const std::uint64_t before = registry_->records_version();
  ASSERT_TRUE(registry_->set_policy("allow all to hub\n"));
  EXPECT_NE(registry_->root(), empty);
  ASSERT_TRUE(registry_->records_since(before).policy);
  EXPECT_EQ(registry_->records_since(before).policy->text, "allow all to hub\n");
  EXPECT_FALSE(registry_->records_since(registry_->records_version()).policy);
  const crypto::Hash root = registry_->root();
  open();
  EXPECT_EQ(registry_->policy().text, "allow all to hub\n");
  EXPECT_EQ(registry_->root(), root);
  ASSERT_TRUE(registry_->set_policy(""));
  EXPECT_EQ(registry_->root(), empty) << "as before there were policies";
  open();
  EXPECT_FALSE(registry_->policy().any());
}

TEST_F(RegistryPolicyTest, AFaultyPolicyChangesNothing) {
  ASSERT_TRUE(registry_->set_policy("allow all to hub\n"));
  const std::uint64_t before = registry_->records_version();
  const auto wrong = registry_->set_policy("allow all to\n");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().what, testing::StartsWith("line 1: "));
  EXPECT_EQ(registry_->policy().text, "allow all to hub\n");
  EXPECT_EQ(registry_->records_version(), before);
}

TEST_F(RegistryPolicyTest, NobodyTakesANameThatThePolicyHas) {
  join(2, "guest");
  const auto unknown = registry_->set_policy("allow ghost to all\n");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().what, testing::HasSubstr("\"ghost\""));
  ASSERT_TRUE(registry_->set_policy("allow hub to all\n"));
  ASSERT_TRUE(registry_->remove("hub"));
  open();  // it is known after a restart, too
  EXPECT_EQ(join(2, "hub").name, "hub-2") << "by another name than before";
  EXPECT_EQ(join(3, "hub").name, "hub-3") << "as a new member";
  ASSERT_TRUE(registry_->set_policy(""));
  EXPECT_EQ(join(4, "hub").name, "hub");
}

TEST_F(RegistryPolicyTest, AMemberThatThePolicyNamesKeepsItsName) {
  join(2, "guest");
  ASSERT_TRUE(registry_->set_policy("deny guest to all\nallow all to all\n"));
  EXPECT_EQ(join(2, "innocent").name, "guest");
  ASSERT_TRUE(registry_->set_policy(""));
  EXPECT_EQ(join(2, "innocent").name, "innocent");
}

TEST_F(RegistryPolicyTest, GroupsAreDurableAndEndWithTheMember) {
  const crypto::Hash root = registry_->root(), digest = registry_->digest();
  ASSERT_TRUE(registry_->set_groups("hub", {"iot", "guests", "iot"}));
  EXPECT_THAT(registry_->find_name("hub")->groups, ElementsAre("guests", "iot"));
  EXPECT_NE(registry_->root(), root);
  EXPECT_EQ(registry_->digest(), digest) << "version 0.1 computes it without";
  open();
  EXPECT_THAT(registry_->find_name("hub")->groups, ElementsAre("guests", "iot"));
  ASSERT_TRUE(registry_->set_groups("hub", {}));
  EXPECT_EQ(registry_->root(), root);
  EXPECT_EQ(registry_->set_groups("hub", {"Iot"}).error().code, Errc::invalid_argument);
  EXPECT_EQ(registry_->set_groups("hub", {"a", "b", "c", "d", "e", "f", "g", "h", "i"}).error().code, Errc::exhausted);
  EXPECT_EQ(registry_->set_groups("nobody", {"iot"}).error().code, Errc::not_found);
}

TEST_F(RegistryPolicyTest, AJoinKeyPutsItsMembersIntoGroups) {
  JoinKeyWish wish;
  wish.groups = {"iot"};
  const auto key = registry_->create_join_key(wish, 100);
  ASSERT_TRUE(key);
  open();
  EXPECT_THAT(registry_->join_keys().find(key->id)->groups, ElementsAre("iot"));
  JoinRequest request{RegistryTest::key(2), "lamp", "0.2.0"};
  request.join_key = key->id;
  ASSERT_TRUE(std::holds_alternative<Member>(registry_->join(request)));
  EXPECT_THAT(registry_->find_name("lamp")->groups, ElementsAre("iot"));
  open();
  EXPECT_THAT(registry_->find_name("lamp")->groups, ElementsAre("iot"));
  wish.groups = {"no such name"};
  EXPECT_FALSE(registry_->create_join_key(wish, 100));
}

}  // namespace
}  // namespace eps::registry
