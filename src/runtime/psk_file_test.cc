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

TEST(PskFile, ALineOfBase64IsAKey) {
  const auto key = parse_psk(kKey + "\n");
  ASSERT_TRUE(key);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(key->view()[i], static_cast<std::byte>(i));
  EXPECT_TRUE(parse_psk("+/" + std::string(41, 'A') + "="));
}

TEST(PskFile, AnythingElseIsRefusedAndNotRepeated) {
  for (const std::string& text :
       {std::string(), std::string("secret"), kKey.substr(1), kKey + "A", kKey.substr(0, 43) + "A",
        "-" + kKey.substr(1), kKey + "\n" + kKey, std::string(43, 'A') + "=", " " + kKey.substr(1),
        kKey.substr(0, 20) + "=" + kKey.substr(21), kKey.substr(0, 42) + "=="}) {
    const auto key = parse_psk(text);
    ASSERT_FALSE(key) << text;
    EXPECT_THAT(key.error().what, HasSubstr("openssl rand -base64 32"));
    EXPECT_EQ(key.error().what.find("secret"), std::string::npos);
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
