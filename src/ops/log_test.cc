// SPDX-License-Identifier: MIT
#include "ops/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "support/temporary_directory.h"

namespace eps::ops {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryDirectory;
using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

TEST(Log, WritesTheLinesOfTheManual) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "eps_server.log"});
  log.info("in: 3.81 MBps");
  log.warn("60-second stats:\n269119 packets forwarded");
  const auto lines = lines_of(read_text(dir / "eps_server.log"));
  ASSERT_EQ(lines.size(), 3u);
  const std::string head = R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \[0x[0-9a-f]{8}:0x[0-9a-f]{16}\] )";
  EXPECT_TRUE(std::regex_match(lines[0], std::regex(head + "info - in: 3\\.81 MBps"))) << lines[0];
  EXPECT_TRUE(std::regex_match(lines[1], std::regex(head + "warn - 60-second stats:"))) << lines[1];
  EXPECT_EQ(lines[2], "269119 packets forwarded");
  std::ostringstream pid;
  pid << "[0x" << std::hex << std::setw(8) << std::setfill('0') << ::getpid() << ':';
  EXPECT_THAT(lines[0], HasSubstr(pid.str()));
}

TEST(Log, TimeIsLocal) {
  const TemporaryDirectory dir;
  ::setenv("TZ", "XYZ-9", 1);
  ::tzset();
  Log log({.path = dir / "log"});
  log.info("x");
  const std::time_t now = std::time(nullptr) + 9 * 3600;
  std::array<char, 16> hour{};
  std::strftime(hour.data(), hour.size(), " %H:", std::gmtime(&now));
  EXPECT_THAT(read_text(dir / "log_0"), HasSubstr(hour.data()));
  ::unsetenv("TZ");
  ::tzset();
}

TEST(Log, OpensUnderBothNames) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "eps_client.log"});
  log.info("here");
  EXPECT_EQ(fs::read_symlink(dir / "eps_client.log"), "eps_client_0.log");
  EXPECT_THAT(read_text(dir / "eps_client_0.log"), HasSubstr("here"));
  EXPECT_EQ(test::mode_of(dir / "eps_client_0.log") & 0137u, 0u);
}

TEST(Log, NamesWithoutExtension) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "a.d");
  Log log({.path = dir / "a.d/eps"});
  EXPECT_TRUE(fs::exists(dir / "a.d/eps_0"));
  Log hidden({.path = dir / ".eps"});
  EXPECT_TRUE(fs::exists(dir / ".eps_0"));
}

TEST(Log, RollsBySizeAndKeepsABoundedNumber) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log", .max_file_size = 1000, .max_files = 3});
  for (int i = 0; i < 100; ++i) log.info("entry " + std::to_string(i) + " " + std::string(40, '.'));
  std::set<std::string> names;
  for (const auto& file : fs::directory_iterator(dir.path())) {
    names.insert(file.path().filename().string());
    EXPECT_LE(fs::file_size(file), 1000u) << file;
  }
  EXPECT_THAT(names, testing::ElementsAre("l.log", "l_0.log", "l_1.log", "l_2.log"));
  // No entry is lost or torn across the files that are kept.
  int expected = 99;
  for (const char* name : {"l_0.log", "l_1.log", "l_2.log"}) {
    auto lines = lines_of(read_text(dir / name));
    for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
      EXPECT_THAT(*line, HasSubstr("entry " + std::to_string(expected--) + " "));
    }
  }
  EXPECT_LT(expected, 80);
  EXPECT_THAT(read_text(dir / "l.log"), HasSubstr("entry 99"));
}

TEST(Log, AnEntryLongerThanAFileIsWrittenWhole) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log", .max_file_size = 100, .max_files = 2});
  log.info("before");
  log.info(std::string(500, 'x'));
  log.info("after");
  EXPECT_THAT(read_text(dir / "l_1.log"), HasSubstr(std::string(500, 'x')));
  EXPECT_THAT(read_text(dir / "l_0.log"), HasSubstr("after"));
}

TEST(Log, ContinuesWhereItEnded) {
  const TemporaryDirectory dir;
  Log({.path = dir / "l.log"}).info("first run");
  Log({.path = dir / "l.log"}).info("second run");
  EXPECT_EQ(lines_of(read_text(dir / "l.log")).size(), 2u);
}

TEST(Log, KeepsAPlainFileOfThatNameAsAnOldOne) {
  const TemporaryDirectory dir;
  dir.write("l.log", "of another program\n");
  dir.write("l_0.log", "older\n");
  Log log({.path = dir / "l.log"});
  log.info("new");
  EXPECT_THAT(read_text(dir / "l_0.log"), HasSubstr("of another program\n"));
  EXPECT_EQ(read_text(dir / "l_1.log"), "older\n");
  EXPECT_TRUE(fs::is_symlink(dir / "l.log"));
}

TEST(Log, IsWrittenWhereALinkLeads) {
  const TemporaryDirectory dir;
  std::filesystem::create_directory(dir / "eps");
  std::filesystem::create_symlink("eps/eps_server.log", dir / "eps_server.log");
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::chown((dir / "eps").c_str(), 65534, 65534), 0);
  }
  Log({.path = dir / "eps_server.log"}).info("one");
  Log({.path = dir / "eps/eps_server.log"}).info("two");
  EXPECT_THAT(test::read_text(dir / "eps_server.log"), HasSubstr("two\n"));
  EXPECT_THAT(test::read_text(dir / "eps/eps_server_0.log"), HasSubstr("one\n"));
  EXPECT_EQ(std::filesystem::read_symlink(dir / "eps_server.log"), "eps/eps_server.log");
  struct stat file {};
  ASSERT_EQ(::stat((dir / "eps/eps_server_0.log").c_str(), &file), 0);
  EXPECT_EQ(file.st_uid, root ? 65534U : ::geteuid());
}

TEST(Log, ALinkOfAnAdministratorStaysAndLeadsToTheSamePlaceAtEachStart) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "elsewhere");
  fs::create_symlink("second.log", dir / "first.log");
  fs::create_symlink("elsewhere/l.log", dir / "second.log");
  for (const char* entry : {"one", "two", "three"}) Log({.path = dir / "first.log"}).info(entry);
  EXPECT_EQ(lines_of(read_text(dir / "elsewhere/l_0.log")).size(), 3u);
  EXPECT_EQ(fs::read_symlink(dir / "elsewhere/l.log"), "l_0.log");
  EXPECT_EQ(fs::read_symlink(dir / "first.log"), "second.log");
  EXPECT_EQ(fs::read_symlink(dir / "second.log"), "elsewhere/l.log");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir / "elsewhere"), {}), 2);
}

TEST(Log, FollowsWhenSomebodyRemovesTheFile) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log"});
  log.info("one");
  fs::remove(dir / "l_0.log");
  log.info("two");
  EXPECT_THAT(read_text(dir / "l.log"), HasSubstr("two"));
}

TEST(Log, SaysWhenItCannotFollow) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "logs");
  Log log({.path = dir / "logs/l.log"});
  log.info("one");
  EXPECT_EQ(log.failure(), "");
  fs::rename(dir / "logs", dir / "old");
  testing::internal::CaptureStderr();
  log.info("two");
  log.info("three");
  EXPECT_THAT(lines_of(testing::internal::GetCapturedStderr()),
              testing::ElementsAre(testing::AllOf(HasSubstr("was moved away"), HasSubstr("Make its directory again"))));
  EXPECT_THAT(log.failure(), HasSubstr("entries go to the old file"));
  EXPECT_THAT(read_text(dir / "old/l_0.log"), HasSubstr("three"));
  fs::create_directory(dir / "logs");
  log.info("four");
  EXPECT_THAT(read_text(dir / "logs/l.log"), HasSubstr("four"));
  EXPECT_EQ(log.failure(), "");
}

TEST(Log, TwoProcessesMayShareAPath) {
  const TemporaryDirectory dir;
  Log a({.path = dir / "l.log", .max_file_size = 2000, .max_files = 50});
  Log b({.path = dir / "l.log", .max_file_size = 2000, .max_files = 50});
  for (int i = 0; i < 100; ++i) (i % 2 != 0 ? a : b).info("entry " + std::to_string(i));
  std::size_t entries = 0;
  for (const auto& file : fs::directory_iterator(dir.path())) {
    if (!file.is_symlink()) entries += lines_of(read_text(file.path())).size();
  }
  EXPECT_EQ(entries, 100u);
}

TEST(Log, LevelsSuppressLessSevereEntries) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log", .level = LogLevel::warn});
  log.info("held back");
  EXPECT_FALSE(log.enabled(LogLevel::info));
  log.set_level(LogLevel::trace);
  log.trace("let through");
  EXPECT_TRUE(log.enabled(LogLevel::trace));
  const std::string text = read_text(dir / "l.log");
  EXPECT_THAT(text, HasSubstr("trace - let through"));
  EXPECT_THAT(text, testing::Not(HasSubstr("held back")));
}

TEST(Log, LevelNamesGoBothWays) {
  for (const auto level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    EXPECT_EQ(parse_log_level(name_of(level)), level);
  }
  EXPECT_EQ(parse_log_level("warning"), std::nullopt);
  EXPECT_EQ(parse_log_level(""), std::nullopt);
}

TEST(Log, TextIsLiteralExceptForControlCharacters) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log"});
  log.info("{} %s {0} \x1b[31mred\r \x7f ü");
  EXPECT_THAT(read_text(dir / "l.log"), HasSubstr("info - {} %s {0} \\x1b[31mred\\x0d \\x7f ü\n"));
}

TEST(Log, WithoutItsFileItUsesStandardErrorAndSaysSo) {
  const TemporaryDirectory dir;
  testing::internal::CaptureStderr();
  Log log({.path = dir / "missing/l.log"});
  log.info("goes on");
  const std::string text = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(log.problem());
  EXPECT_THAT(log.problem()->what, HasSubstr("Cannot write the log file " + dir.path() + "/missing/l_0.log: No such"));
  EXPECT_THAT(text, HasSubstr("warn - " + log.problem()->what));
  EXPECT_THAT(text, HasSubstr("info - goes on"));
}

TEST(Log, WithoutATerminalStandardErrorGetsErrorsOnly) {
  const TemporaryDirectory dir;
  testing::internal::CaptureStderr();
  Log log({.path = dir / "l.log"});
  log.warn("in the file");
  log.error("in both");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, testing::Not(HasSubstr("in the file")));
  EXPECT_THAT(text, HasSubstr("error - in both"));
}

TEST(Log, WithATerminalStandardErrorGetsAll) {
  const TemporaryDirectory dir;
  testing::internal::CaptureStderr();
  Log log({.path = dir / "l.log", .terminal = true});
  log.info("in both");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), read_text(dir / "l.log"));
}

TEST(Log, TheJournalGetsAllWithTheirPriorities) {
  const TemporaryDirectory dir;
  testing::internal::CaptureStderr();
  Log log({.path = dir / "l.log", .journal = true});
  log.info("two\nlines");
  log.warn("careful");
  log.error("\x1b[31mbad");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "<6>two\n<6>lines\n<4>careful\n<3>\\x1b[31mbad\n");
  EXPECT_EQ(lines_of(read_text(dir / "l.log")).size(), 4u) << "and the file as always";
}

TEST(Log, ADashIsStandardOutput) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Log log({.path = "-"});
  log.error("x");
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("error - x\n"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "once is enough";
  EXPECT_FALSE(fs::exists("-"));
}

TEST(Log, AsJsonEachEntryIsOneLine) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log", .format = LogFormat::json});
  log.info("two\nlines, \"quoted\"");
  log.warn("\xff");
  const auto lines = lines_of(read_text(dir / "l.log"));
  ASSERT_EQ(lines.size(), 2u);
  const auto entry = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(entry["message"], "two\nlines, \"quoted\"");
  EXPECT_EQ(entry["level"], "info");
  EXPECT_EQ(entry["pid"], ::getpid());
  EXPECT_TRUE(
      std::regex_match(entry["time"].get<std::string>(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)")));
  EXPECT_EQ(nlohmann::json::parse(lines[1])["level"], "warn");
  EXPECT_EQ(name_of(*parse_log_format("json")), "json");
  EXPECT_FALSE(parse_log_format("xml"));
}

TEST(Log, ADeviceIsNeitherRolledNorReplaced) {
  Log log({.path = "/dev/null", .max_file_size = 10});
  for (int i = 0; i < 3; ++i) log.info("nowhere");
  EXPECT_FALSE(log.problem());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_FALSE(fs::exists("/dev/null_0"));
}

TEST(Log, SaysOnceThatTheDiskIsFull) {
  testing::internal::CaptureStderr();
  Log log({.path = "/dev/full"});
  log.info("lost");
  log.info("lost");
  EXPECT_EQ(lines_of(testing::internal::GetCapturedStderr()).size(), 1u);
  EXPECT_THAT(log.failure(), HasSubstr("cannot be written; entries are lost")) << "for status and doctor";
}

TEST(Log, ThreadsDoNotTearEntries) {
  const TemporaryDirectory dir;
  Log log({.path = dir / "l.log", .max_file_size = 20000, .max_files = 100});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 200; ++i) log.info("thread " + std::to_string(t));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t entries = 0;
  for (const auto& file : fs::directory_iterator(dir.path())) {
    if (file.is_symlink()) continue;
    for (const std::string& line : lines_of(read_text(file.path()))) {
      entries += std::regex_search(line, std::regex(R"(^\d{4}.* info - thread [0-3]$)")) ? 1 : 0;
    }
  }
  EXPECT_EQ(entries, 800u);
}

}  // namespace
}  // namespace eps::ops
