// SPDX-License-Identifier: MIT

// Names that an administrator gives.

#include <gmock/gmock.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::HasSubstr;

class RegistryNamesTest : public RegistryTest {
 protected:
  void SetUp() override {
    open();
    first_ = join(1, "localhost");
    second_ = join(2, "other");
  }

  Member first_, second_;
};

TEST_F(RegistryNamesTest, AGivenNameIsDurableAndPartOfTheSignedList) {
  const crypto::Hash root = registry_->root(), digest = registry_->digest();
  const std::uint64_t before = registry_->records_version();
  const auto renamed = registry_->give_name("localhost", "camera");
  ASSERT_TRUE(renamed) << renamed.error().what;
  EXPECT_EQ(renamed->id, first_.id);
  EXPECT_EQ(renamed->key, first_.key);
  EXPECT_EQ(renamed->address, first_.address);
  EXPECT_EQ(registry_->find_name("localhost"), nullptr);
  EXPECT_EQ(registry_->find_name("camera")->id, first_.id);
  EXPECT_NE(registry_->root(), root);
  EXPECT_NE(registry_->digest(), digest) << "clients of version 0.1 are told too";
  ASSERT_EQ(registry_->records_since(before).upserts.size(), 1U);
  EXPECT_EQ(registry_->records_since(before).upserts[0].name, "camera");
  EXPECT_EQ(registry_->audit({})->back().act, "rename");
  EXPECT_EQ(registry_->audit({})->back().kind, AuditEntry::Kind::administrator);
  EXPECT_THAT(registry_->audit({})->back().what, HasSubstr("is called camera now"));
  open();
  EXPECT_EQ(registry_->find_name("camera")->id, first_.id);
}

TEST_F(RegistryNamesTest, TheComputerKeepsItWhateverItIsCalled) {
  ASSERT_TRUE(registry_->give_name("localhost", "camera"));
  EXPECT_FALSE(registry_->join_writes(key(1), "localhost"));
  EXPECT_EQ(join(1, "localhost").name, "camera");
  open();
  EXPECT_EQ(join(1, "another").name, "camera");
  ASSERT_TRUE(registry_->give_name("camera", "lens"));
  EXPECT_EQ(join(1, "camera").name, "lens");
  EXPECT_EQ(join(3, "localhost").name, "localhost") << "the former name is free";
}

TEST_F(RegistryNamesTest, ANameInUseOrInvalidIsRefused) {
  const auto taken = registry_->give_name("localhost", "other");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::in_use);
  EXPECT_THAT(taken.error().what, HasSubstr("The name other is that of another member, other ("));
  for (const char* name : {"", "two words", "-", "a/b"}) {
    EXPECT_EQ(registry_->give_name("localhost", name).error().code, Errc::invalid_argument) << name;
  }
  EXPECT_EQ(registry_->give_name("localhost", std::string(64, 'a')).error().code, Errc::invalid_argument);
  EXPECT_EQ(registry_->give_name("nobody", "camera").error().code, Errc::not_found);
  EXPECT_EQ(registry_->find_name("localhost")->id, first_.id);
  EXPECT_EQ(join(1, "moved").name, "moved") << "nothing was given";
}

TEST_F(RegistryNamesTest, ItsOwnNameCanBeMadeToStay) {
  ASSERT_TRUE(registry_->give_name("localhost", "localhost"));
  EXPECT_EQ(join(1, "moved").name, "localhost");
}

TEST_F(RegistryNamesTest, ANameThatThePolicyHoldsCanBeGivenButNotTaken) {
  ASSERT_TRUE(registry_->give_name("localhost", "hub"));
  ASSERT_TRUE(registry_->set_policy("allow all to hub\n"));
  ASSERT_TRUE(registry_->remove("hub"));
  EXPECT_EQ(join(3, "hub").name, "hub-2") << "as a new member";
  EXPECT_TRUE(registry_->policy_has("hub"));
  ASSERT_TRUE(registry_->give_name("hub-2", "hub"));
  EXPECT_EQ(registry_->find_name("hub")->key, key(3));
  ASSERT_TRUE(registry_->set_policy("allow all to hub tcp\n"));
  EXPECT_EQ(join(3, "hub-2").name, "hub");
}

TEST_F(RegistryNamesTest, ItEndsWithTheMember) {
  ASSERT_TRUE(registry_->give_name("localhost", "camera"));
  ASSERT_TRUE(registry_->remove("camera"));
  EXPECT_TRUE(store_.load()->meta["name." + std::to_string(first_.id.value)].empty());
  EXPECT_EQ(join(3, "camera").name, "camera");
  EXPECT_EQ(join(3, "moved").name, "moved");
}

TEST_F(RegistryNamesTest, AFullDiskChangesNothing) {
  store_.fail = true;
  EXPECT_FALSE(registry_->give_name("localhost", "camera"));
  store_.fail = false;
  EXPECT_EQ(registry_->find_name("localhost")->id, first_.id);
  EXPECT_EQ(registry_->find_name("camera"), nullptr);
  EXPECT_EQ(join(1, "moved").name, "moved");
}

}  // namespace
}  // namespace eps::registry
