// SPDX-License-Identifier: MIT
#include "os/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "os/temporary_directory.h"
#include "os/unique_fd.h"

namespace eps::os {
namespace {

// The manager's end of the notification socket, under a path or, with "@", an abstract name.
class Manager {
 public:
  explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, name.data(), name.size());
    if (name.front() == '@') at.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&at), size), 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() { ::unsetenv("NOTIFY_SOCKET"); }

  std::string heard() const {
    std::array<char, 256> text{};
    const ssize_t size = ::recv(fd_.get(), text.data(), text.size(), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
  }

 private:
  UniqueFd fd_;
};

TEST(ServiceManager, ReceivesNotifications) {
  const TemporaryDirectory dir;
  for (const std::string& name : {dir.path() + "/notify", "@eps-test-" + std::to_string(::getpid())}) {
    const Manager manager(name);
    ServiceManager().tell("READY=1\nSTATUS=Listening");
    EXPECT_EQ(manager.heard(), "READY=1\nSTATUS=Listening");
    EXPECT_EQ(manager.heard(), "");
  }
}

TEST(ServiceManager, WithoutOneNothingHappens) {
  ServiceManager().tell("READY=1");
  for (const std::string& name : {std::string("/nobody/there"), std::string(200, 'x')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ServiceManager().tell("READY=1");
  }
  ::unsetenv("NOTIFY_SOCKET");
}

TEST(ServiceManager, WatchesOnlyTheNamedProcess) {
  EXPECT_EQ(ServiceManager().watchdog(), std::nullopt);
  ::setenv("WATCHDOG_USEC", "3000000", 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::seconds(3));
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::seconds(3));
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::nullopt);
  ::unsetenv("WATCHDOG_PID");
  for (const char* nonsense : {"", "0", "-1", "3s"}) {
    ::setenv("WATCHDOG_USEC", nonsense, 1);
    EXPECT_EQ(ServiceManager().watchdog(), std::nullopt) << nonsense;
  }
  ::unsetenv("WATCHDOG_USEC");
}

}  // namespace
}  // namespace eps::os
