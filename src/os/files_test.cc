// SPDX-License-Identifier: MIT
#include "os/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <thread>

#include "os/client_state.h"
#include "os/clock.h"
#include "os/os_rng.h"
#include "os/privilege.h"
#include "os/temporary_directory.h"

namespace eps::os {
namespace {

using ::testing::HasSubstr;

mode_t mode_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

TEST(Files, AWrittenFileIsReadBackWithItsMode) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/file";
  const std::string content("a\0b", 3);
  ASSERT_TRUE(write_file_atomic(path, content, 0640));
  EXPECT_EQ(*read_file(path, 3), content);
  EXPECT_EQ(mode_of(path), 0640U);
  ASSERT_TRUE(write_file_atomic(path, "", 0600));
  EXPECT_EQ(*read_file(path, 3), "");
  EXPECT_EQ(mode_of(path), 0600U);
}

TEST(Files, ReadingSaysWhatIsWrong) {
  const TemporaryDirectory dir;
  EXPECT_EQ(read_file(dir.path() + "/none", 10).error().code, Errc::not_found);
  ASSERT_TRUE(write_file_atomic(dir.path() + "/long", "12345", 0600));
  const auto result = read_file(dir.path() + "/long", 4);
  EXPECT_EQ(result.error().code, Errc::exhausted);
  EXPECT_THAT(result.error().what, HasSubstr("longer than 4 bytes"));
}

TEST(Files, AFailedWriteLeavesTheOldFileAndNoRubbish) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/file";
  ASSERT_TRUE(std::filesystem::create_directories(path + "/in-the-way"));
  const auto result = write_file_atomic(path, "new", 0600);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().what, HasSubstr(path));
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

// A reader sees one whole content or the other, at whatever moment the writer is killed.
TEST(Files, AKilledWriterLeavesAWholeFile) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/file";
  const std::string a(20000, 'a'), b(30000, 'b');
  ASSERT_TRUE(write_file_atomic(path, a, 0600));
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        if (!write_file_atomic(path, b, 0600) || !write_file_atomic(path, a, 0600)) ::_exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(500 + round * 137));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string content = *read_file(path, 30000);
    EXPECT_TRUE(content == a || content == b);
  }
}

TEST(Files, DirectoriesAreMadeForTheOwner) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/a/b/c/";
  ASSERT_TRUE(create_private_directory(path));
  EXPECT_EQ(mode_of(path), 0700U);
  EXPECT_TRUE(create_private_directory(path));  // is there already
  ASSERT_TRUE(write_file_atomic(dir.path() + "/file", "", 0600));
  EXPECT_FALSE(create_private_directory(dir.path() + "/file"));
  EXPECT_FALSE(create_private_directory(dir.path() + "/file/below"));
}

TEST(Files, NoDirectoryOfAnotherUserIsUsedInOneThatAnybodyMayWriteTo) {
  const TemporaryDirectory dir;
  const std::string etc = dir.path() + "/etc", theirs = dir.path() + "/theirs", link = dir.path() + "/link";
  ASSERT_EQ(::chmod(dir.path().c_str(), 01777), 0);
  std::filesystem::create_directory(etc);
  std::filesystem::create_directory(theirs);
  std::filesystem::create_directory_symlink("etc", link);
  for (const std::string& planted : {theirs, link}) {
    if (::lchown(planted.c_str(), 65534, 65534) != 0) GTEST_SKIP() << "only root can give a file away";
    for (const char* below : {"", "/client"}) {
      const auto made = create_private_directory(planted + below);
      ASSERT_FALSE(made) << planted << below;
      EXPECT_THAT(made.error().what, HasSubstr("another user has made " + planted));
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(etc));
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  EXPECT_TRUE(create_private_directory(theirs + "/client")) << "the user eps has its own under /var/lib";
}

TEST(Files, ALockIsExclusiveAndNamesItsHolder) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/lock";
  {
    const Result<UniqueFd> held = lock_file(path, "it is taken", "wait");
    ASSERT_TRUE(held);
    const Result<UniqueFd> refused = lock_file(path, "it is taken", "wait");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::in_use);
    EXPECT_EQ(refused.error().what, "it is taken (process " + std::to_string(::getpid()) + "); wait");
  }
  EXPECT_TRUE(lock_file(path, "it is taken", "wait"));
}

TEST(ClientStateTest, RemembersItsIdentityAndEnrolment) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/client";
  ClientState::SecretBytes secret;
  OsRng().fill(secret);
  const PublicKey server{{std::byte{7}}};
  {
    Result<ClientState> state = ClientState::open(path);
    ASSERT_TRUE(state);
    EXPECT_FALSE(state->load_identity()->has_value());
    EXPECT_FALSE(state->load_enrolment()->has_value());
    ASSERT_TRUE(state->save_identity(secret));
    ASSERT_TRUE(state->save_enrolment(server));
    EXPECT_EQ(ClientState::open(path).error().code, Errc::in_use);
  }
  const Result<ClientState> state = ClientState::open(path);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->load_identity()->value(), secret);
  EXPECT_EQ(state->load_enrolment()->value(), server);
  EXPECT_EQ(mode_of(path), 0700U);
  EXPECT_EQ(mode_of(path + "/identity"), 0600U);
}

TEST(ClientStateTest, ADamagedFileIsNotTakenForANewClient) {
  const TemporaryDirectory dir;
  Result<ClientState> state = ClientState::open(dir.path());
  ASSERT_TRUE(state);
  for (const char* text : {"", "# only a comment\n", "abc", "not a key at all!\n"}) {
    ASSERT_TRUE(write_file_atomic(dir.path() + "/identity", text, 0600));
    EXPECT_EQ(state->load_identity().error().code, Errc::corrupt) << text;
  }
  for (const char* text : {"0", "-3", "12x", "99999999999999999999"}) {
    ASSERT_TRUE(write_file_atomic(dir.path() + "/counter", text, 0600));
    EXPECT_EQ(state->reserve_handshake_numbers(10, 5000).error().code, Errc::corrupt) << text;
  }
}

TEST(ClientStateTest, FileLeftEmptyByAPowerCutRepairsItself) {
  const TemporaryDirectory dir;
  Result<ClientState> state = ClientState::open(dir.path());
  ASSERT_TRUE(state);
  for (const std::string& text : {std::string(), std::string("\n"), std::string(20, '\0')}) {
    ASSERT_TRUE(write_file_atomic(dir.path() + "/counter", text, 0600));
    EXPECT_EQ(state->reserve_handshake_numbers(10, 5000)->first, 5000U);
    ASSERT_TRUE(write_file_atomic(dir.path() + "/enrolled", text, 0600));
    EXPECT_EQ(*state->load_enrolment(), std::nullopt);
  }
  EXPECT_EQ(state->reserve_handshake_numbers(10, 4000)->first, 5010U) << "a clock that was set back";
}

TEST(ClientStateTest, ALostIdentityIsNotReplacedSilently) {
  const TemporaryDirectory dir;
  Result<ClientState> state = ClientState::open(dir.path());
  ASSERT_TRUE(state);
  EXPECT_EQ(*state->load_identity(), std::nullopt);
  ASSERT_TRUE(state->save_enrolment({}));
  const auto lost = state->load_identity();
  EXPECT_EQ(lost.error().code, Errc::corrupt);
  EXPECT_THAT(lost.error().what, HasSubstr("to enrol anew as another client"));
}

TEST(Files, ReadingAnIdleFifoTimesOut) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(read_file(path, 10).error().code, Errc::unavailable);
  std::thread writer([&] {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::write(fd.get(), "text", 4), 4);
  });
  EXPECT_EQ(*read_file(path, 10), "text");
  writer.join();
}

TEST(ClientStateTest, HandshakeNumbersAreNeverReused) {
  const TemporaryDirectory dir;
  constexpr std::uint64_t kBlock = std::uint64_t{1} << 20;
  for (std::uint64_t run = 0; run < 3; ++run) {
    Result<ClientState> state = ClientState::open(dir.path());
    ASSERT_TRUE(state);
    EXPECT_EQ(state->reserve_handshake_numbers(kBlock)->first, 1 + 2 * run * kBlock);
    EXPECT_EQ(state->reserve_handshake_numbers(kBlock)->first, 1 + (2 * run + 1) * kBlock);
  }
  Result<ClientState> state = ClientState::open(dir.path());
  EXPECT_EQ(state->reserve_handshake_numbers(~std::uint64_t{0}).error().code, Errc::exhausted);
  EXPECT_EQ(state->reserve_handshake_numbers(1)->first, 1 + 6 * kBlock);
}

TEST(Clock, GoesForward) {
  const Instant a = now();
  EXPECT_LE(a, now());
  EXPECT_GT(a.time_since_epoch(), Duration::zero());
}

TEST(OsRngTest, FillsTheWholeBuffer) {
  OsRng rng;
  Bytes a(1000), b(1000);
  rng.fill(a);
  rng.fill(b);
  EXPECT_NE(a, b);
  EXPECT_NE(Bytes(a.end() - 8, a.end()), Bytes(8));
}

TEST(Privilege, IsDroppedForGood) {
  std::thread([] {
    drop_network_capabilities();
    EXPECT_FALSE(has_net_admin());
    std::thread([] { EXPECT_FALSE(has_net_admin()); }).join();
    drop_network_capabilities();
  }).join();
}

TEST(Privilege, AMissingPrivilegeIsExplained) {
  const Result<void> result = require_net_admin();
  EXPECT_EQ(result.has_value(), has_net_admin());
  if (!result) {
    EXPECT_THAT(result.error().what, HasSubstr("sudo"));
  }
}

}  // namespace
}  // namespace eps::os
