// SPDX-License-Identifier: MIT
#include "runtime/kept_state.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "support/temporary_directory.h"

namespace eps::runtime {
namespace {

using testing::HasSubstr;
using testing::Not;

Bytes to_bytes(std::string_view text) {
  const ByteView view = as_view(text);
  return {view.begin(), view.end()};
}

class KeeperTest : public testing::Test {
 protected:
  // A directory cannot be replaced by a file, not even by root.
  void block(const std::string& name) const { std::filesystem::create_directory(folder_ + "/" + name); }
  void unblock(const std::string& name) const { std::filesystem::remove(folder_ + "/" + name); }
  std::string content(const std::string& name) const { return test::read_text(folder_ + "/" + name); }
  std::string logged() const { return test::read_text(dir_ / "log"); }

  test::TemporaryDirectory dir_;
  std::string folder_ = dir_ / "state";
  os::ClientState state_ = *os::ClientState::open(folder_);
  ops::Log log_{{.path = dir_ / "log"}};
  Keeper keeper_{state_, log_};
};

TEST_F(KeeperTest, WritesAtOnce) {
  keeper_.keep_known("known");
  keeper_.keep_network(to_bytes("network"));
  keeper_.keep_enrolment(PublicKey{});
  EXPECT_TRUE(keeper_.write());
  EXPECT_EQ(content("known"), "known");
  EXPECT_EQ(content("network"), "network");
  EXPECT_EQ(*state_.load_enrolment(), PublicKey{});
  EXPECT_EQ(logged(), "");
}

TEST_F(KeeperTest, WritesTheNewestOnceItCan) {
  for (const char* name : {"known", "network", "enrolled"}) block(name);
  keeper_.keep_known("old");
  keeper_.keep_network(to_bytes("old"));
  keeper_.keep_enrolment(PublicKey{});
  EXPECT_FALSE(keeper_.write());
  keeper_.keep_known("new");
  EXPECT_FALSE(keeper_.write());
  for (const char* name : {"known", "network", "enrolled"}) unblock(name);
  EXPECT_TRUE(keeper_.write());
  EXPECT_EQ(content("known"), "new");
  EXPECT_EQ(content("network"), "old");
  EXPECT_EQ(*state_.load_enrolment(), PublicKey{});
}

TEST_F(KeeperTest, ALockThatCannotBeReadIsNotForgotten) {
  EXPECT_TRUE(load_lock(state_, PublicKey{})->chain().empty());
  keeper_.keep_lock(node::LockGuard().encode(PublicKey{}));
  ASSERT_TRUE(keeper_.write());
  EXPECT_TRUE(load_lock(state_, PublicKey{}));
  keeper_.keep_lock(content("network-lock") + "entry aaaa\n");
  ASSERT_TRUE(keeper_.write());
  const auto read = load_lock(state_, PublicKey{});
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, HasSubstr(folder_ + "/network-lock cannot be read"));
}

TEST_F(KeeperTest, AFailureOfOneKindDoesNotDelayTheOthers) {
  block("known");
  keeper_.keep_known("known");
  keeper_.keep_network(to_bytes("network"));
  EXPECT_FALSE(keeper_.write());
  EXPECT_EQ(content("network"), "network");
}

TEST_F(KeeperTest, AFailureIsLoggedOnceAndSoIsItsEnd) {
  block("known");
  keeper_.keep_known("known");
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(keeper_.write());
  const std::string first = logged();
  EXPECT_THAT(first, HasSubstr(folder_ + "/known"));
  EXPECT_EQ(first.find("known"), first.rfind("known"));
  EXPECT_THAT(keeper_.failure(), HasSubstr(folder_ + "/known"));
  EXPECT_THAT(first, Not(HasSubstr("written again")));
  unblock("known");
  EXPECT_TRUE(keeper_.write());
  EXPECT_TRUE(keeper_.write());
  EXPECT_EQ(keeper_.failure(), "");
  EXPECT_THAT(logged().substr(first.size()), HasSubstr("can be written again"));
}

}  // namespace
}  // namespace eps::runtime
