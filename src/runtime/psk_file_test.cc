// SPDX-License-Identifier: MIT
#include "runtime/psk_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "os/temporary_directory.h"

namespace eps::runtime {
namespace {

using testing::HasSubstr;

const std::string kKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

TEST(PskFile, ALineOfBase64IsTheKeyOfAll) {
  for (const std::string& text : {kKey + "\n", kKey, " " + kKey + " \r\n", "# ours\n\n" + kKey + "\n"}) {
    const auto keys = parse_psk(text);
    ASSERT_TRUE(keys) << keys.error().what;
    ASSERT_TRUE(keys->of_all());
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(keys->of_all()->view()[i], static_cast<std::byte>(i));
    EXPECT_EQ(keys->of_single_peers(), 0U);
  }
  EXPECT_TRUE(parse_psk("+/" + std::string(41, 'A') + "="));
}

TEST(PskFile, APeerBeforeAKeyHasItForItself) {
  Member by_name, by_key;
  by_name.name = "b";
  by_key.key.bytes[3] = std::byte{7};
  const std::string other = "+/" + std::string(41, 'A') + "=";
  const auto keys = parse_psk("b \t" + other + "\n" + to_base32(by_key.key.bytes) + " " + kKey + "\n");
  ASSERT_TRUE(keys) << keys.error().what;
  EXPECT_FALSE(keys->of_all());
  EXPECT_FALSE(keys->of(Member()));
  ASSERT_TRUE(keys->of(by_name) && keys->of(by_key));
  EXPECT_EQ(keys->of(by_name)->view()[0], std::byte{0xfb});
  EXPECT_EQ(keys->of(by_key)->view()[1], std::byte{1});
}

TEST(PskFile, AnythingElseIsRefusedAndNotRepeated) {
  const std::string zeros = std::string(43, 'A') + "=";
  for (const auto& [text, said] : std::vector<std::pair<std::string, std::string>>{
           {"", "holds no key"},
           {"# nothing\n\n", "holds no key"},
           {"secret", "line 1 does not end with 44 characters"},
           {kKey.substr(1), "line 1 does not"},
           {kKey + "A", "line 1 does not"},
           {kKey.substr(0, 43) + "A", "line 1 does not"},
           {"-" + kKey.substr(1), "line 1 does not"},
           {kKey.substr(0, 20) + "=" + kKey.substr(21), "line 1 does not"},
           {kKey.substr(0, 42) + "==", "line 1 does not"},
           {"b secret\n", "line 1 does not"},
           {"# two\n" + kKey + "\n" + kKey, "line 3 is a second key for every peer"},
           {"b " + kKey + "\nb " + kKey, "line 2 is a second key for the same peer"},
           {"secret! " + kKey, "line 1 begins with neither the name"},
           {"secret b " + kKey, "line 1 begins with neither the name"},
           {"b " + zeros, "line 1 is all zeros"},
           {zeros, "line 1 is all zeros"}}) {
    const auto keys = parse_psk(text);
    ASSERT_FALSE(keys) << text;
    EXPECT_THAT(keys.error().what, HasSubstr(said)) << text;
    EXPECT_THAT(keys.error().what, HasSubstr("openssl rand -base64 32"));
    EXPECT_EQ(keys.error().what.find("secret"), std::string::npos);
  }
}

TEST(PskFile, TheErrorNamesTheConfiguredFile) {
  const os::TemporaryDirectory directory;
  const std::string path = directory.path() + "/key", copy = directory.path() + "/copy";
  EXPECT_THAT(read_psk(path, "").error().what, HasSubstr("--psk-file " + path + ": cannot read"));
  std::ofstream(copy) << "#";
  EXPECT_THAT(read_psk(path, copy).error().what, HasSubstr("--psk-file " + path + ": there was no such file"));
  std::ofstream(path) << kKey;
  EXPECT_TRUE(read_psk(path, ""));
}

}  // namespace
}  // namespace eps::runtime
