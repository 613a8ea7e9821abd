// SPDX-License-Identifier: MIT
#include "runtime/hooks.h"

#include <gmock/gmock.h>

#include <fstream>
#include <functional>

#include "support/temporary_directory.h"

namespace eps::runtime {
namespace {

using testing::HasSubstr;

class HooksTest : public testing::Test {
 protected:
  std::string written() const { return test::read_text(out_); }
  std::string logged() const { return test::read_text(dir_ / "log"); }
  // Waits until it is true: the commands run in a thread of their own.
  static bool soon(const std::function<bool()>& condition) {
    for (int ms = 0; ms < 20'000 && !condition(); ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
  }

  test::TemporaryDirectory dir_;
  std::string out_ = dir_ / "out";
  std::string write_ = "echo $EPS_HOOK $EPS_ADDRESS >>" + out_;
  ops::Log log_{{.path = dir_ / "log"}};
};

TEST_F(HooksTest, UpWhenThereIsAnAddressDownAtTheEnd) {
  Hooks hooks(log_, write_, write_);
  hooks.set({"EPS_ADDRESS=10.0.8.1"});
  EXPECT_TRUE(soon([&] { return logged().find("--up ended with exit status 0.") != std::string::npos; }));
  hooks.set({"EPS_ADDRESS=10.0.8.1"});  // the same again is not a change
  hooks.finish();
  EXPECT_EQ(written(), "up 10.0.8.1\ndown 10.0.8.1\n");
}

TEST_F(HooksTest, ANewAddressIsADownAndAnUp) {
  Hooks hooks(log_, write_, write_);
  hooks.set({"EPS_ADDRESS=10.0.8.1"});
  EXPECT_TRUE(soon([&] { return written() == "up 10.0.8.1\n"; }));
  hooks.set({"EPS_ADDRESS=10.0.8.2"});
  EXPECT_TRUE(soon([&] { return written() == "up 10.0.8.1\ndown 10.0.8.1\nup 10.0.8.2\n"; }));
  hooks.finish();
  EXPECT_EQ(written(), "up 10.0.8.1\ndown 10.0.8.1\nup 10.0.8.2\ndown 10.0.8.2\n");
}

TEST_F(HooksTest, NobodyWaitsForAnUpThatHangs) {
  Hooks hooks(log_, write_ + "; exec sleep 1000", write_, std::chrono::hours(1));
  hooks.set({"EPS_ADDRESS=10.0.8.1"});
  EXPECT_TRUE(soon([&] { return written() == "up 10.0.8.1\n"; }));
  hooks.finish();
  EXPECT_EQ(written(), "up 10.0.8.1\ndown 10.0.8.1\n");
  EXPECT_THAT(logged(), HasSubstr("--up was killed: it had not ended when eps-client did."));
}

TEST_F(HooksTest, ADownThatHangsIsKilled) {
  Hooks hooks(log_, "", "exec sleep 1000", std::chrono::milliseconds(1));
  hooks.set({"EPS_ADDRESS=10.0.8.1"});
  hooks.finish();
  // If the end comes before the thread has seen the address, there is nothing to take down.
  if (!logged().empty()) {
    EXPECT_THAT(logged(), HasSubstr("--down was killed: it did not end within 1 s."));
  }
}

TEST_F(HooksTest, AFailureIsLoggedAndAnEmptyCommandIsNotAFailure) {
  Hooks hooks(log_, "exit 3", "");
  hooks.set({});
  EXPECT_TRUE(soon([&] { return logged().find("--up ended with exit status 3.") != std::string::npos; }));
  hooks.finish();
  Hooks none(log_, "", "");
  none.set({});
  none.finish();
  EXPECT_EQ(logged().find("--down"), std::string::npos);
}

}  // namespace
}  // namespace eps::runtime
