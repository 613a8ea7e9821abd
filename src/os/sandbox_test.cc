// SPDX-License-Identifier: MIT
#include "os/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "os/files.h"
#include "os/output_file.h"
#include "os/temporary_directory.h"

namespace eps::os {
namespace {

// The sentences of what did not hold in a process of its own, which is restricted for good.
std::string in_a_child(const std::function<void(std::vector<std::string>& wrong)>& look) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<std::string> wrong;
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    look(wrong);
    for (const std::string& one : wrong) (void)!::write(ends[1], (one + "; ").data(), one.size() + 2);
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string out;
  for (char c = 0; ::read(ends[0], &c, 1) == 1;) out += c;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? out : out + "ended by signal " + std::to_string(WTERMSIG(status));
}

bool opens(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_be_restricted()) GTEST_SKIP() << "a sanitizer needs more";
  }
  const TemporaryDirectory dir_;
};

TEST_F(SandboxTest, FilesThatWereNotNamedAreOutOfReach) {
  for (const char* name : {"state", "log", "conf", "run", "other"}) ::mkdir((dir_.path() + "/" + name).c_str(), 0700);
  const auto in = [&](const std::string& name) { return dir_.path() + "/" + name; };
  for (const char* name : {"state/kept", "log/old", "conf/file", "run/socket", "other/file"})
    std::ofstream(in(name)) << "x";
  ASSERT_EQ(::symlink("../other/file", in("log/leads").c_str()), 0);
  EXPECT_EQ(
      in_a_child([&](std::vector<std::string>& wrong) {
        const auto holds = [&](bool yes, const char* what) {
          if (!yes) wrong.emplace_back(what);
        };
        const std::string why =
            restrict_files({{in("state")}, {in("log/x.log"), ""}, {in("run/socket")}, {in("conf/file")}});
        if (why.find("no Landlock") != std::string::npos) return;
        holds(why.empty(), why.c_str());
        holds(files_are_restricted(), "restricted");
        holds(opens(in("state/kept"), O_RDWR) && opens(in("state/new"), O_RDWR | O_CREAT), "the state is written");
        holds(::mkdir(in("state/below").c_str(), 0700) == 0 && opens(in("state/below/new"), O_WRONLY | O_CREAT),
              "a folder in it");
        holds(write_file_atomic(in("state/kept"), "y", 0600).has_value(), "it is replaced");
        holds(opens(in("log/new"), O_WRONLY | O_CREAT | O_APPEND), "a log is begun");
        holds(::rename(in("log/old").c_str(), in("log/old.1").c_str()) == 0 && ::unlink(in("log/old.1").c_str()) == 0,
              "rolled");
        holds(::symlink("new", in("log/link").c_str()) == 0, "and named by a link");
        holds(write_output(in("log/x.log"), "y", 0600).has_value(), "an output is replaced");
        holds(opens(in("conf/file"), O_RDONLY) && !opens(in("conf/file"), O_WRONLY), "the configuration is only read");
        holds(::unlink(in("run/socket").c_str()) == 0, "the socket goes");
        holds(!opens(in("run/new"), O_WRONLY | O_CREAT), "nothing is made beside it");
        holds(!opens(in("other/file"), O_RDONLY) && errno == EACCES, "another file is not read");
        holds(!opens(in("log/leads"), O_WRONLY), "by a link neither");
        holds(!opens(in("other/new"), O_WRONLY | O_CREAT), "nor made");
        const auto written = write_output(in("other/x"), "y", 0600);
        holds(!written && written.error().what.find("told to at its start") != std::string::npos,
              "the error explains that");
        holds(opens("/etc/hosts", O_RDONLY) && opens("/dev/null", O_RDWR) && opens("/proc/self/statm", O_RDONLY),
              "the system");
        holds(!opens("/etc/eps.test", O_WRONLY | O_CREAT) && !opens("/usr/eps.test", O_WRONLY | O_CREAT),
              "is not written to");
        ::execl("/bin/true", "true", nullptr);
        holds(errno == EACCES, "no program is executed");
      }),
      "");
}

TEST_F(SandboxTest, SystemCallsThatADaemonDoesNotNeedFail) {
  const pid_t parent = ::getpid();
  EXPECT_EQ(in_a_child([&](std::vector<std::string>& wrong) {
              const auto holds = [&](bool yes, const char* what) {
                if (!yes) wrong.emplace_back(what);
              };
              const std::string why = restrict_system_calls();
              holds(why.empty(), why.c_str());
              holds(::prctl(PR_GET_SECCOMP) == 2, "there is a filter");
              int ran = 0;
              std::thread([&] { ++ran; }).join();
              holds(ran == 1, "threads run");
              addrinfo* found = nullptr;
              holds(::getaddrinfo("localhost", nullptr, nullptr, &found) == 0, "names are resolved");
              for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
                holds(::socket(family, SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT, "sockets of the families it uses");
              }
              holds(::socket(AF_PACKET, SOCK_DGRAM, 0) < 0 && errno == EAFNOSUPPORT, "no other sockets");
              holds(::fork() < 0 && errno == EPERM, "no processes");
              ::execl("/bin/true", "true", nullptr);
              holds(errno == ENOSYS, "no programs");
              holds(::unshare(CLONE_NEWUSER) < 0 && errno == ENOSYS, "no namespaces");
              holds(::kill(parent, 0) < 0 && errno == EPERM, "no signals to others");
              holds(::kill(::getpid(), 0) == 0 && ::raise(SIGCHLD) == 0, "but to itself");
              holds(::mmap(nullptr, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED,
                    "no code is made");
              void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              holds(page != MAP_FAILED && ::mprotect(page, 4096, PROT_READ) == 0, "memory is protected");
              holds(::mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 && errno == EPERM, "but not executed");
              const std::string file = dir_.path() + "/file";
              holds(opens(file, O_RDWR | O_CREAT), "files are made");
              holds(::chmod(file.c_str(), 0640) == 0 && ::chmod(file.c_str(), 04755) < 0, "none is made setuid");
              holds(::open((file + "2").c_str(), O_CREAT | O_WRONLY, 06700) < 0 && errno == EPERM, "none is begun so");
              char letter = 'x';
              holds(::ioctl(0, TIOCSTI, &letter) < 0 && errno == EPERM, "nothing is typed");
            }),
            "");
}

}  // namespace
}  // namespace eps::os
