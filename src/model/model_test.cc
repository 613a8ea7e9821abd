#include <gtest/gtest.h>

#include "model/network.h"

namespace eps {
namespace {

Member member(std::uint32_t id, std::string name) {
  Member m;
  m.id = {id};
  m.name = std::move(name);
  return m;
}

TEST(MemberList, AppliesDeltasInOrderOnly) {
  MemberList list;
  EXPECT_TRUE(
      list.apply({.from = 0, .to = 5, .full = true, .upserts = {member(1, "a"), member(2, "b")}, .removed = {}}));
  EXPECT_FALSE(list.apply({.from = 4, .to = 6, .full = false, .upserts = {}, .removed = {}}));
  EXPECT_TRUE(list.apply({.from = 5, .to = 6, .full = false, .upserts = {member(2, "c")}, .removed = {{1}}}));
  EXPECT_EQ(list.version(), 6U);
  EXPECT_EQ(list.find({1}), nullptr);
  EXPECT_EQ(list.find_name("c")->id.value, 2U);
  EXPECT_FALSE(list.apply({.from = 0, .to = 5, .full = true, .upserts = {}, .removed = {}})) << "an older list";
  EXPECT_EQ(list.version(), 6U);
  EXPECT_TRUE(list.apply({.from = 0, .to = 7, .full = true, .upserts = {}, .removed = {}}));
  EXPECT_TRUE(list.members().empty());
}

TEST(Names, AreSafeOrMadeSafe) {
  EXPECT_TRUE(valid_name("host-1.example"));
  EXPECT_FALSE(valid_name(""));
  EXPECT_FALSE(valid_name("a b"));
  EXPECT_FALSE(valid_name(std::string(64, 'a')));
  EXPECT_EQ(make_valid_name("my host\n"), "my-host-");
  EXPECT_EQ(make_valid_name("\n"), "member");
  EXPECT_TRUE(valid_name(make_valid_name(std::string(300, '"'))));
}

}  // namespace
}  // namespace eps
