// SPDX-License-Identifier: MIT
#pragma once

// For tests only: each test runs in a network namespace of its own, so that real devices and addresses leak nowhere.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/result.h"

namespace eps::os {

class NetnsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no network namespace of our own: " << std::strerror(errno) << " (run as root)";
    }
    if (!shell("ip link set lo up")) GTEST_SKIP() << "no working `ip` (package iproute2)";
  }

  // Topologies are laid, and read back, with a tool that is not ours.
  static bool shell(const std::string& command) {
    return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
  }

  // Of this namespace: sysctl("net/ipv6/conf/all/disable_ipv6", "1").
  static bool sysctl(const std::string& path, const std::string& value) {
    return shell("echo " + value + " > /proc/sys/" + path);
  }

  static std::string output_of(const std::string& command) {
    std::string out;
    FILE* const pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return out;
    char buffer[512];
    while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) out += buffer;
    ::pclose(pipe);
    return out;
  }

  static bool readable(int fd, int milliseconds = 1000) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, milliseconds) == 1;
  }
};

// The value of a Result that must not be an error.
template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().what;
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace eps::os
