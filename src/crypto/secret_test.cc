// SPDX-License-Identifier: MIT
#include "crypto/secret.h"

#include <gtest/gtest.h>

#include <concepts>
#include <type_traits>

namespace eps::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Key> && !std::is_copy_assignable_v<Key>);
static_assert(!std::equality_comparable<Key>);

Key key_of(std::byte value) {
  std::array<std::byte, 32> raw;
  raw.fill(value);
  return Key(raw);
}

TEST(Secret, MovingWipesTheSource) {
  Key a = key_of(std::byte{7});
  const Key b = std::move(a);
  // NOLINTNEXTLINE(bugprone-use-after-move): the test is that it is empty
  EXPECT_TRUE(constant_time_equal(a.view(), Key().view()));
  EXPECT_TRUE(constant_time_equal(b.view(), key_of(std::byte{7}).view()));
  Key c;
  a = b.clone();
  c = std::move(a);
  EXPECT_TRUE(constant_time_equal(a.view(), Key().view()));  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(constant_time_equal(c.view(), b.view()));
}

TEST(Secret, DestructionWipesTheMemory) {
  alignas(Key) std::array<std::byte, sizeof(Key)> memory;
  Key* const key = new (memory.data()) Key(key_of(std::byte{7}).view());
  key->~Key();
  EXPECT_TRUE(constant_time_equal(memory, Key().view()));
}

TEST(ConstantTimeEqual, ComparesSizesAndBytes) {
  EXPECT_TRUE(constant_time_equal({}, {}));
  EXPECT_TRUE(constant_time_equal(as_view("abc"), as_view("abc")));
  EXPECT_FALSE(constant_time_equal(as_view("abc"), as_view("abd")));
  EXPECT_FALSE(constant_time_equal(as_view("abc"), as_view("ab")));
}

}  // namespace
}  // namespace eps::crypto
