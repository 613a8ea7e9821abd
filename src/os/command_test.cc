// SPDX-License-Identifier: MIT
#include "os/command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "os/privilege.h"
#include "os/temporary_directory.h"
#include "os/unique_fd.h"

namespace eps::os {
namespace {

using How = CommandEnd::How;
constexpr std::chrono::seconds kLong{60};

class Command : public testing::Test {
 protected:
  // What the command writes to $OUT.
  std::string said(const std::string& command, std::vector<std::string> environment = {}) {
    environment.push_back("OUT=" + out());
    const auto end = run_command(command, environment, kLong);
    EXPECT_TRUE(end && *end == CommandEnd{}) << command;
    std::ostringstream text;
    text << std::ifstream(out()).rdbuf();
    return text.str();
  }
  std::string out() const { return dir_.path() + "/out"; }

  TemporaryDirectory dir_;
};

TEST_F(Command, SaysHowItEnded) {
  EXPECT_EQ(run_command("exit 0", {}, kLong).value(), (CommandEnd{How::exited, 0}));
  EXPECT_EQ(run_command("exit 3", {}, kLong).value(), (CommandEnd{How::exited, 3}));
  EXPECT_EQ(run_command("kill -TERM $$", {}, kLong).value(), (CommandEnd{How::signalled, SIGTERM}));
  EXPECT_EQ(run_command("/nowhere/at/all 2>/dev/null", {}, kLong).value(), (CommandEnd{How::exited, 127}));
}

TEST_F(Command, IsKilledAfterItsTime) {
  EXPECT_EQ(run_command("exec sleep 1000", {"PATH=/usr/bin:/bin"}, std::chrono::milliseconds(1)).value().how,
            How::timed_out);
}

TEST_F(Command, IsKilledWithItsChildrenWhenItIsCancelled) {
  const std::string fifo = dir_.path() + "/cancel";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd cancel(::open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  const auto end = run_command("sleep 1000 & echo $! >$OUT; echo >$CANCEL; wait",
                               {"OUT=" + out(), "CANCEL=" + fifo, "PATH=/usr/bin:/bin"}, kLong, cancel.get());
  EXPECT_EQ(end.value().how, How::cancelled);
  pid_t sleeper = 0;
  std::ifstream(out()) >> sleeper;
  ASSERT_GT(sleeper, 1);
  const auto gone = [sleeper] {
    std::string line;
    std::getline(std::ifstream("/proc/" + std::to_string(sleeper) + "/stat"), line);
    return line.empty() || line.find(") Z ") != std::string::npos;
  };
  for (int ms = 0; ms < 10'000 && !gone(); ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(gone());
}

TEST_F(Command, GetsItsEnvironmentAndNothingElse) {
  ::setenv("EPS_TEST_SECRET", "x", 1);
  const std::string text = said("/usr/bin/env >$OUT", {"EPS_ADDRESS=10.0.8.1"});
  EXPECT_NE(text.find("EPS_ADDRESS=10.0.8.1\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("EPS_TEST_SECRET"), std::string::npos) << text;
  ::unsetenv("EPS_TEST_SECRET");
}

TEST_F(Command, HasNoDescriptorOfTheProgramAndNoInput) {
  const UniqueFd leaky(::open("/dev/zero", O_RDONLY));  // NOLINT: without O_CLOEXEC on purpose
  ASSERT_GE(leaky.get(), 3);
  const std::string number = std::to_string(leaky.get());
  EXPECT_EQ(said("(true <&" + number + ") 2>/dev/null && echo open >$OUT || echo closed >$OUT"), "closed\n");
  EXPECT_EQ(said("if read line; then echo input; else echo none; fi >$OUT"), "none\n");
}

TEST_F(Command, IgnoresNoSignalThatTheProgramIgnores) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(run_command("kill -PIPE $$", {}, kLong).value(), (CommandEnd{How::signalled, SIGPIPE}));
  std::signal(SIGPIPE, before);
}

// Makes this thread one as under systemd: exec gives it nothing but its one ambient capability, whoever it is.
bool be_like_a_service() {
  constexpr unsigned long kNoRoot = 1 << 0;  // SECBIT_NOROOT
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  sets[CAP_TO_INDEX(CAP_NET_ADMIN)].inheritable |= CAP_TO_MASK(CAP_NET_ADMIN);
  return ::syscall(SYS_capset, &header, sets.data()) == 0 && ::prctl(PR_SET_SECUREBITS, kNoRoot, 0, 0, 0) == 0 &&
         ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) == 0;
}

TEST_F(Command, HasNoCapabilityThatItsThreadHasGivenUp) {
  if (!has_net_admin()) GTEST_SKIP() << "needs CAP_NET_ADMIN";
  const auto may_administer = [this] {
    const std::string text = said("grep CapEff /proc/self/status >$OUT", {"PATH=/usr/bin:/bin"});
    return (std::stoull(text.substr(text.find('\t') + 1), nullptr, 16) & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
  };
  bool before = true, after = false, done = false;
  std::thread([&] {
    if (!be_like_a_service()) return;
    before = may_administer();
    drop_network_capabilities();
    after = may_administer();
    done = true;
  }).join();
  if (!done) GTEST_SKIP() << "the process may not change its secure bits";
  EXPECT_TRUE(before);
  EXPECT_FALSE(after);
}

}  // namespace
}  // namespace eps::os
