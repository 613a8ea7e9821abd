// SPDX-License-Identifier: MIT
#include "os/helper_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>

namespace eps::os {
namespace {

TEST(HelperProcess, AnswersRequestsInAProcessOfItsOwn) {
  int count = 0;
  const auto helper = HelperProcess::start("helper", [&](std::string_view request, int) {
    return std::string(request) + " " + std::to_string(++count) + " " + std::to_string(::getppid());
  });
  ASSERT_TRUE(helper);
  EXPECT_EQ(*helper->ask("a"), "a 1 " + std::to_string(::getpid()));
  EXPECT_EQ(*helper->ask("b"), "b 2 " + std::to_string(::getpid()));
  EXPECT_EQ(count, 0);
  const std::string long_one(kMaxHelperMessage / 2, 'x');
  EXPECT_EQ(helper->ask(long_one)->substr(0, long_one.size()), long_one);
}

TEST(HelperProcess, LearnsThatAnAnswerIsNotWantedAndGoesOn) {
  const auto helper = HelperProcess::start("helper", [](std::string_view request, int cancel) {
    pollfd watched{cancel, POLLIN, 0};
    return request == "wait" && ::poll(&watched, 1, -1) == 1 ? std::string("cancelled") : std::string("done");
  });
  ASSERT_TRUE(helper);
  const UniqueFd cancel(::eventfd(1, EFD_CLOEXEC));
  EXPECT_EQ(*helper->ask("wait", cancel.get()), "cancelled");
  EXPECT_EQ(*helper->ask("go on"), "done");
}

TEST(HelperProcess, HasNoOtherDescriptorsAndIgnoresSignals) {
  const UniqueFd low(::eventfd(0, EFD_CLOEXEC)), secret(::fcntl(low.get(), F_DUPFD_CLOEXEC, 100));
  const auto helper = HelperProcess::start("helper", [&](std::string_view, int) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) ::raise(number);
    return std::string(::fcntl(secret.get(), F_GETFD) < 0 ? "closed" : "open");
  });
  ASSERT_TRUE(helper);
  EXPECT_EQ(*helper->ask("?"), "closed");
}

TEST(HelperProcess, ItsEndIsAnError) {
  const auto helper = HelperProcess::start("helper", [](std::string_view, int) -> std::string { ::_exit(0); });
  ASSERT_TRUE(helper);
  EXPECT_EQ(helper->ask("?").error().code, Errc::unavailable);
  EXPECT_EQ(helper->ask("?").error().code, Errc::unavailable);
}

}  // namespace
}  // namespace eps::os
