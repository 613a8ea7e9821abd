// SPDX-License-Identifier: MIT
#include "os/output_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>

#include "os/files.h"
#include "os/temporary_directory.h"
#include "os/unique_fd.h"

namespace eps::os {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class OutputFile : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return dir_.path() + "/" + name; }
  // The directory is like /tmp, and another user has made this name in it.
  void plant(const std::string& name) {
    ASSERT_EQ(::chmod(dir_.path().c_str(), 01777), 0);
    if (::lchown(at(name).c_str(), 65534, 65534) != 0) GTEST_SKIP() << "only root can give a file away";
  }
  static mode_t kind(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & S_IFMT : 0;
  }
  const TemporaryDirectory dir_;
};

TEST_F(OutputFile, ARegularFileIsReplaced) {
  ASSERT_TRUE(write_output(at("f"), "one", 0644));
  const UniqueFd old(::open(at("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(write_output(at("f"), "two", 0644));
  EXPECT_EQ(*read_file(at("f"), 10), "two");
  char first[3];
  EXPECT_EQ(::pread(old.get(), first, 3, 0), 3);
  EXPECT_EQ(std::string(first, 3), "one") << "a reader of the old one sees it whole";
}

TEST_F(OutputFile, ALinkIsFollowedAndStays) {
  fs::create_directory(at("elsewhere"));
  fs::create_symlink("elsewhere/f", at("link"));
  fs::create_symlink(at("link"), at("link2"));
  ASSERT_TRUE(write_output(at("link2"), "text", 0644));
  EXPECT_EQ(kind(at("link")), S_IFLNK);
  EXPECT_EQ(kind(at("link2")), S_IFLNK);
  EXPECT_EQ(*read_file(at("elsewhere/f"), 10), "text");
  fs::create_symlink("loop", at("loop"));
  EXPECT_FALSE(write_output(at("loop"), "text", 0644));
}

TEST_F(OutputFile, ADeviceIsWrittenToAndStays) {
  if (::mknod(at("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) GTEST_SKIP() << "no device can be made";
  ASSERT_TRUE(write_output(at("null"), "text", 0644));
  EXPECT_EQ(kind(at("null")), S_IFCHR);
}

TEST_F(OutputFile, AFifoIsWrittenToOnlyWhileSomebodyReads) {
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  const auto alone = write_output(at("fifo"), "text", 0644);
  ASSERT_FALSE(alone);
  EXPECT_THAT(alone.error().what, HasSubstr("nobody reads"));
  const UniqueFd reader(::open(at("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(write_output(at("fifo"), "text", 0644));
  char got[10];
  EXPECT_EQ(::read(reader.get(), got, sizeof got), 4);
  EXPECT_EQ(kind(at("fifo")), S_IFIFO);
  EXPECT_THAT(write_output(at("fifo"), std::string(1 << 20, 'x'), 0644).error().what, HasSubstr("does not keep up"));
}

TEST_F(OutputFile, PlantedLinkIsNotFollowed) {
  ASSERT_TRUE(write_file_atomic(at("secret"), "secret", 0600));
  fs::create_symlink(at("secret"), at("link"));
  plant("link");
  if (IsSkipped()) return;
  EXPECT_EQ(write_output(at("link"), "text", 0644).error().code, Errc::permission);
  EXPECT_EQ(*read_file(at("secret"), 10), "secret");
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  plant("fifo");
  EXPECT_THAT(write_output(at("fifo"), "text", 0644).error().what, HasSubstr("another user has put a FIFO there"));
  fs::create_directory(at("safe"));
  fs::create_symlink(at("safe"), at("way"));
  plant("way");
  EXPECT_FALSE(write_output(at("way/f"), "text", 0644)) << "nor is a directory of theirs";
}

TEST_F(OutputFile, OwnLinksAreFollowedInASharedDirectory) {
  fs::create_symlink("f", at("link"));
  ASSERT_EQ(::chmod(dir_.path().c_str(), 01777), 0);
  EXPECT_TRUE(write_output(at("link"), "text", 0644));
  EXPECT_EQ(kind(at("link")), S_IFLNK);
}

TEST_F(OutputFile, AFileOfAnotherUserIsNotAppendedTo) {
  ASSERT_TRUE(write_file_atomic(at("f"), "", 0666));
  const UniqueFd fd(::open(at("f").c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_TRUE(is_own_file(fd.get(), at("f")));
  plant("f");
  if (IsSkipped()) return;
  EXPECT_FALSE(is_own_file(fd.get(), at("f")));
  ASSERT_EQ(::chown(at("f").c_str(), 0, 0), 0);
  EXPECT_TRUE(is_own_file(fd.get(), at("f")));
  fs::create_hard_link(at("f"), at("g"));
  EXPECT_FALSE(is_own_file(fd.get(), at("f"))) << "its other name may be anything";
}

}  // namespace
}  // namespace eps::os
