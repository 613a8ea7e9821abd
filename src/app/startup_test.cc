// SPDX-License-Identifier: MIT
#include "app/startup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "app/options_fixture.h"

namespace eps::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(Options, AWrongKeyIsNotRepeated) {
  const std::string wrong = network_key().substr(0, 40) + "zzzz" + network_key().substr(44);
  const std::vector<std::string> sentences = {
      refusal(client({"--server", "a", "--key", wrong})),
      refusal(client({"--server", "a", "--key=" + wrong})),
      refusal(client({}, "server = a\nkey = " + wrong)),
      refusal(client({}, "server = a\n" + wrong)),
      refusal(client({}, "server = a\nkey " + wrong)),
      refusal(client({}, "server = a\n" + wrong + " = 5")),
      refusal(client({}, "server = a\nlog-level = " + wrong)),
      refusal(client({"--server", "a", wrong})),
      refusal(client({"--" + wrong})),
      refusal(client({"--server", "a/" + wrong})),
      refusal(client({"--key", wrong, "--key", wrong})),
      refusal(server({"--key", wrong})),
  };
  for (const std::string& sentence : sentences) {
    EXPECT_NE(sentence, "(accepted)");
    EXPECT_EQ(sentence.find(wrong.substr(5, 12)), std::string::npos) << sentence;
  }
  EXPECT_THAT(sentences[0], testing::StartsWith("eps-client: --key: The network key "));
  EXPECT_THAT(sentences[2], testing::StartsWith(conf() + ":2: key: The network key "));
}

TEST_F(Options, TheKeyIsOverwrittenInTheArguments) {
  std::string program = "eps-client", option = "--key", value = network_key(), joined = "--key=" + network_key();
  std::array<char*, 5> argv = {program.data(), option.data(), value.data(), joined.data(), nullptr};
  EXPECT_THAT(take_arguments(4, argv.data()), ElementsAre("--key", network_key(), "--key=" + network_key()));
  EXPECT_EQ(value, std::string(value.size(), 'x'));
  EXPECT_EQ(joined, "--key=" + std::string(value.size(), 'x'));
  std::string last = "--key";
  std::array<char*, 3> no_value = {program.data(), last.data(), nullptr};
  EXPECT_THAT(take_arguments(2, no_value.data()), ElementsAre("--key"));
  EXPECT_TRUE(take_arguments(0, no_value.data() + 2).empty());
}

TEST_F(Options, TheServiceManagersCopyIsReadForTheFileOfItsName) {
  ::setenv("CREDENTIALS_DIRECTORY", dir.path().c_str(), 1);
  const Surroundings here = {
      .hostname = "h", .default_conf = "/none/eps.conf", .credentials = surroundings().credentials};
  EXPECT_EQ(copy_of_conf(here, "/none/eps.conf"), "");
  dir.write("eps.conf", "port = 5\n");
  EXPECT_EQ(copy_of_conf(here, "/none/eps.conf"), dir / "eps.conf");
  EXPECT_EQ(copy_of_conf({}, "/none/eps.conf"), "");
  ::unsetenv("CREDENTIALS_DIRECTORY");
  const auto settings = good(server_settings({}, here));
  EXPECT_EQ(settings.port, 5);
  EXPECT_EQ(settings.conf, "/none/eps.conf");
  // On a reload, the caller must bring the content of the file.
  const auto again = read_again<ServerSettings>(server_settings, {}, here, settings);
  EXPECT_THAT(again({}).error().what, HasSubstr("may not read /none/eps.conf"));
  const auto fresh = again(runtime::GivenConf{"stats\nport = 6\n"});
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->settings.stats);
  EXPECT_EQ(fresh->wait_for_restart, "port");
  EXPECT_TRUE(again(runtime::GivenConf{"stats\n", "/none/eps.conf"}));
  EXPECT_THAT(again(runtime::GivenConf{"stats\n", "/none/lab.conf"}).error().what,
              HasSubstr("configuration file is /none/eps.conf, not /none/lab.conf"));
  EXPECT_THAT(again(runtime::GivenConf{"stat\n"}).error().what, HasSubstr("/none/eps.conf:1: unknown option"));
  dir.write("eps.conf", "prot = 5\n");
  EXPECT_THAT(refusal(server_settings({}, here)), testing::StartsWith("/none/eps.conf:1: unknown option"));
  dir.write("lab.conf", "port = 7\n");
  EXPECT_EQ(good(server_settings({"--conf", "/none/lab.conf"}, here)).port, 7);
  dir.write("other.conf", "port = 6\n");
  EXPECT_EQ(good(server_settings({"--conf", dir / "other.conf"}, here)).port, 6);
}

TEST_F(Options, TheKeyIsNotLogged) {
  ClientSettings settings = good(complete_client({"--stats", "--log-level", "trace", "--log", dir / "l.log"}));
  testing::internal::CaptureStderr();
  ops::Log log({.path = settings.log, .level = settings.log_level, .terminal = true});
  log_start(log, Program::client, settings);
  const std::string all = testing::internal::GetCapturedStderr() + test::read_text(dir / "l.log");
  EXPECT_THAT(all, HasSubstr("debug - Settings:\n"));
  EXPECT_THAT(all, HasSubstr("key = (not logged)\n"));
  EXPECT_EQ(all.find("eps1-"), std::string::npos);
  EXPECT_EQ(all.find(network_key().substr(5, 12)), std::string::npos);
}

}  // namespace
}  // namespace eps::app
