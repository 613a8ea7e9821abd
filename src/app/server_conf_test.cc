// SPDX-License-Identifier: MIT
#include "app/server_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "app/conf_file.h"
#include "app/options.h"
#include "control/network_key.h"
#include "support/temporary_directory.h"

namespace eps::app {
namespace {

namespace fs = std::filesystem;
using test::mode_of;
using test::read_text;
using test::TemporaryDirectory;
using testing::HasSubstr;

std::string network_key(unsigned char seed = 1) {
  control::NetworkKey key;
  key.server.bytes.fill(std::byte{seed});
  return control::to_text(key);
}

TEST(ServerConf, MakesAMissingFile) {
  const TemporaryDirectory dir;
  const auto outcome = ensure_conf_key(dir / "eps.conf", network_key());
  ASSERT_TRUE(outcome) << outcome.error().what;
  EXPECT_EQ(*outcome, KeyFileOutcome::created);
  EXPECT_EQ(mode_of(dir / "eps.conf"), 0600u);
  EXPECT_THAT(read_text(dir / "eps.conf"), HasSubstr("\nkey = " + network_key() + "\n"));
  const auto again = ensure_conf_key(dir / "eps.conf", network_key());
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, KeyFileOutcome::present);
}

TEST(ServerConf, ARotatedKeyReplacesEveryEarlierOne) {
  const TemporaryDirectory dir;
  const auto key_of = [](unsigned char server, unsigned char secret, std::uint32_t join_key = 0, bool pinned = false) {
    control::NetworkKey key;
    key.server.bytes.fill(std::byte{server});
    std::ranges::fill(key.enrolment.writable(), std::byte{secret});
    key.join_key = join_key;
    if (pinned) key.lock.emplace().fill(std::byte{7});
    return key;
  };
  const auto text = [&](auto... of) { return control::to_text(key_of(of...)); };
  const std::string path = dir / "eps.conf";
  const auto conf = [&](const std::string& plain, const std::string& pinned) {
    return "# was key = " + text(1, 1) + "\nkey = \"" + plain + "\"  # copy this\n[client]\nkey = " + pinned +
           "\nkey=" + text(1, 1, 5) + "\n[server]\nkey = " + text(1, 1);
  };
  dir.write("eps.conf", conf(text(1, 1), text(1, 2, 0, true)));
  const auto replaced = replace_conf_key(path, key_of(1, 3));
  ASSERT_TRUE(replaced) << replaced.error().what;
  EXPECT_TRUE(*replaced);
  EXPECT_EQ(read_text(path), conf(text(1, 3), text(1, 3, 0, true)));
  EXPECT_TRUE(*replace_conf_key(path, key_of(1, 3)));
  EXPECT_FALSE(*replace_conf_key(path, key_of(2, 3))) << "another server's";
  EXPECT_EQ(read_text(path), conf(text(1, 3), text(1, 3, 0, true)));
  EXPECT_TRUE(*replace_conf_key(dir / "none", key_of(1, 3)));
  EXPECT_FALSE(fs::exists(dir / "none"));
}

TEST(ServerConf, TheTemplateIsAConfigurationForBothPrograms) {
  const TemporaryDirectory dir;
  const Surroundings here{"host", dir.write("eps.conf", conf_template(network_key()))};
  const auto server = server_settings({}, here);
  ASSERT_TRUE(std::holds_alternative<runtime::ServerSettings>(server)) << std::get<Stop>(server).text;
  const auto client = client_settings({"--server", "a"}, here);
  ASSERT_TRUE(std::holds_alternative<runtime::ClientSettings>(client)) << std::get<Stop>(client).text;
  EXPECT_EQ(std::get<runtime::ClientSettings>(client).key, network_key());
  // The template sets nothing but the key and the sections.
  const auto lines = parse_conf(conf_template(network_key()), "f");
  ASSERT_TRUE(lines);
  EXPECT_EQ(lines->size(), 1u);
}

TEST(ServerConf, TheTemplateNamesEveryOptionWithItsDefault) {
  const TemporaryDirectory dir;
  std::string text = conf_template(network_key());
  for (const OptionSpec& spec : option_table()) {
    if (spec.command_line_only || spec.name == "key") continue;
    EXPECT_THAT(text, HasSubstr("\n#" + std::string(spec.name) + " = ")) << spec.name;
  }
  // Without its comment signs it is still a valid file, and nothing but the examples changes.
  for (std::size_t at = 0; (at = text.find("\n#", at)) != std::string::npos; ++at) {
    if (text[at + 2] >= 'a' && text[at + 2] <= 'z') text.erase(at + 1, 1);
  }
  const Surroundings all{"alice", dir.write("all.conf", text)}, none{"alice", dir.write("none.conf", "")};
  const auto server = server_settings({}, all);
  ASSERT_TRUE(std::holds_alternative<runtime::ServerSettings>(server)) << std::get<Stop>(server).text;
  auto settings = std::get<runtime::ServerSettings>(server);
  EXPECT_EQ(settings.scorecard, "/var/log/eps_server.stats");
  EXPECT_EQ(settings.graphviz, "/var/log/eps.gv");
  EXPECT_EQ(settings.http, parse_endpoint("127.0.0.1:9100"));
  settings.http.reset();
  settings.conf = none.default_conf;
  EXPECT_EQ(describe(settings), describe(std::get<runtime::ServerSettings>(server_settings({}, none))));
  const auto client = client_settings({}, all);
  ASSERT_TRUE(std::holds_alternative<runtime::ClientSettings>(client)) << std::get<Stop>(client).text;
}

TEST(ServerConf, AddsTheLineThatIsMissing) {
  const TemporaryDirectory dir;
  const std::string line = "key = " + network_key() + "\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", line},
      {"port = 1", "port = 1\n" + line},
      {"port = 1\n", "port = 1\n" + line},
      {"port = 1\n#key = eps1-x\n", "port = 1\n#key = eps1-x\n" + line},
      {"port = 1\n\n  [server]\nmtu = 1400\n", "port = 1\n\n" + line + "  [server]\nmtu = 1400\n"},
      {"[client]\nserver = a\n", line + "[client]\nserver = a\n"},
      // A client would not find it there.
      {"[server]\nkey = " + network_key() + "\n", line + "[server]\nkey = " + network_key() + "\n"},
  };
  for (const auto& [before, after] : cases) {
    const std::string path = dir.write("eps.conf", before, 0644);
    const auto outcome = ensure_conf_key(path, network_key());
    ASSERT_TRUE(outcome) << outcome.error().what;
    EXPECT_EQ(*outcome, KeyFileOutcome::added);
    EXPECT_EQ(read_text(path), after);
    EXPECT_EQ(mode_of(path), 0600u);
    EXPECT_EQ(*ensure_conf_key(path, network_key()), KeyFileOutcome::present);
  }
}

TEST(ServerConf, LeavesAFileThatHasTheKey) {
  const TemporaryDirectory dir;
  for (const std::string& text : {"key = " + network_key(), "[client]\nkey = \"" + network_key() + "\" # mine\n",
                                  "key = " + network_key(2) + "\n[client]\nkey = " + network_key() + "\n"}) {
    const std::string path = dir.write("eps.conf", text, 0640);
    const auto outcome = ensure_conf_key(path, network_key());
    ASSERT_TRUE(outcome);
    EXPECT_EQ(*outcome, KeyFileOutcome::present);
    EXPECT_EQ(read_text(path), text);
    EXPECT_EQ(mode_of(path), 0640u);
  }
}

TEST(ServerConf, LeavesAnotherKeyAloneAndWarns) {
  const TemporaryDirectory dir;
  for (const std::string& text : {"key = " + network_key(2) + "\n", std::string("key\n"), std::string("key =\n")}) {
    const std::string path = dir.write("eps.conf", text);
    const auto outcome = ensure_conf_key(path, network_key());
    ASSERT_TRUE(outcome);
    EXPECT_EQ(*outcome, KeyFileOutcome::differs);
    EXPECT_EQ(read_text(path), text);
    const KeyFileNote note = note_of(outcome, path, "/srv/eps");
    EXPECT_TRUE(note.warning);
    EXPECT_EQ(note.text, "The key in the configuration file " + path +
                             " is not this server's; clients that use it are refused. Replace the line by the key that "
                             "\"eps key --state /srv/eps\" prints.");
  }
}

TEST(ServerConf, WritesThroughALinkAndKeepsTheOwner) {
  const TemporaryDirectory dir;
  const std::string real = dir.write("real.conf", "port = 1\n");
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::chown(real.c_str(), 12345, 23456), 0);
  }
  fs::create_symlink("real.conf", dir / "eps.conf");
  ASSERT_TRUE(ensure_conf_key(dir / "eps.conf", network_key()));
  EXPECT_TRUE(fs::is_symlink(dir / "eps.conf"));
  EXPECT_THAT(read_text(real), HasSubstr(network_key()));
  struct stat info {};
  ASSERT_EQ(::stat(real.c_str(), &info), 0);
  if (root) {
    EXPECT_EQ(info.st_uid, 12345u);
    EXPECT_EQ(info.st_gid, 23456u);
  }
}

TEST(ServerConf, ALinkToNowhereStays) {
  const TemporaryDirectory dir;
  fs::create_symlink("later/eps.conf", dir / "eps.conf");
  EXPECT_FALSE(ensure_conf_key(dir / "eps.conf", network_key()));
  EXPECT_TRUE(fs::is_symlink(dir / "eps.conf"));
  fs::create_directory(dir / "later");
  ASSERT_TRUE(ensure_conf_key(dir / "eps.conf", network_key()));
  EXPECT_TRUE(fs::is_symlink(dir / "eps.conf"));
  EXPECT_THAT(read_text(dir / "later/eps.conf"), HasSubstr(network_key()));
}

TEST(ServerConf, ALinkOfAnotherUserIsNotFollowed) {
  const TemporaryDirectory dir;
  const std::string theirs = dir.write("theirs", "port = 1\n");
  fs::create_symlink(theirs, dir / "eps.conf");
  ASSERT_EQ(::chmod(dir.path().c_str(), 01777), 0);
  if (::lchown((dir / "eps.conf").c_str(), 65534, 65534) != 0) GTEST_SKIP() << "only root can give a file away";
  const auto outcome = ensure_conf_key(dir / "eps.conf", network_key());
  ASSERT_FALSE(outcome);
  EXPECT_THAT(outcome.error().what, HasSubstr("another user has put a link"));
  EXPECT_EQ(read_text(theirs), "port = 1\n");
}

TEST(ServerConf, UnwritableFileIsReportedWithAnAlternative) {
  const TemporaryDirectory dir;
  for (const std::string& path : {dir / "missing/eps.conf", std::string("/dev/null"), dir.path()}) {
    const auto outcome = ensure_conf_key(path, network_key());
    ASSERT_FALSE(outcome) << path;
    const KeyFileNote note = note_of(outcome, path, "/var/lib/eps");
    EXPECT_TRUE(note.warning);
    EXPECT_THAT(note.text, HasSubstr("\"eps key\" prints it."));
    EXPECT_THAT(note.text, HasSubstr(path));
  }
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(ServerConf, NoNoteHoldsTheKey) {
  using enum KeyFileOutcome;
  for (const KeyFileOutcome outcome : {created, added, present, differs}) {
    EXPECT_EQ(note_of(outcome, "/etc/eps.conf", "/var/lib/eps").text.find("eps1-"), std::string::npos);
    EXPECT_EQ(note_of(outcome, "/etc/eps.conf", "/var/lib/eps").warning, outcome == differs);
  }
}

}  // namespace
}  // namespace eps::app
