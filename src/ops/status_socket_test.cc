// SPDX-License-Identifier: MIT
#include "ops/status_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "ops/background.h"
#include "support/temporary_directory.h"

namespace eps::ops {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::TemporaryDirectory;
using testing::HasSubstr;

StatusSocket::Answer echo(const json& request) {
  if (request.value("command", "") == "break") return json{{"text", "\xff"}};
  if (request.value("command", "") == "report") {
    return [loop = std::this_thread::get_id()] {
      return json{{"ok", true}, {"beside_the_loop", std::this_thread::get_id() != loop}};
    };
  }
  return json{{"ok", true}, {"request", request}};
}

// A status socket on its own event loop, as in a daemon.
class Daemon {
 public:
  explicit Daemon(const std::string& path, StatusSocket::Handler handler = echo) {
    auto opened = StatusSocket::open(io_, background_, path, "eps-client");
    if (!opened) {
      error = opened.error();
      return;
    }
    socket_ = std::move(*opened);
    socket_->start(std::move(handler));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Daemon() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    boost::asio::post(io_, [this] {
      socket_.reset();
      work_.reset();
    });
    thread_.join();
  }
  std::optional<Error> error;

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  Background background_{io_};
  std::unique_ptr<StatusSocket> socket_;
  std::thread thread_;
};

int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string exchange_raw(const std::string& path, const std::string& request) {
  const int fd = connect_to(path);
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer(65536, '\0');
  const ssize_t size = ::recv(fd, answer.data(), answer.size(), 0);
  ::close(fd);
  answer.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return answer;
}

TEST(StatusSocket, AnswersARequest) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  ASSERT_FALSE(daemon.error) << daemon.error->what;
  const auto answer = ask(dir / "s.sock", {{"command", "status"}});
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ((*answer)["request"]["command"], "status");
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "peers"}}));
  EXPECT_EQ((*ask(dir / "s.sock", {{"command", "peers"}, {"uid", 77}}))["request"]["uid"], ::geteuid())
      << "the kernel identifies the caller";
}

TEST(StatusSocket, SlowAnswersAreMadeOutsideTheLoop) {
  const TemporaryDirectory dir;
  const Daemon daemon(dir / "client.sock");
  for (int i = 0; i < 3; ++i) {
    const auto answer = ask(dir / "client.sock", {{"command", "report"}});
    ASSERT_TRUE(answer);
    EXPECT_EQ((*answer)["beside_the_loop"], true);
  }
}

TEST(StatusSocket, ALongAnswerArrivesWhole) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock", [](const json&) { return json{{"ok", true}, {"text", std::string(3'000'000, 'x')}}; });
  const auto answer = ask(dir / "s.sock", {{"command", "status"}});
  ASSERT_TRUE(answer) << answer.error().what;
  EXPECT_EQ((*answer)["text"].get<std::string>().size(), 3'000'000u);
}

TEST(StatusSocket, IsForItsOwnerAndItsGroupAndMakesItsDirectory) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "run/eps/s.sock");
  ASSERT_FALSE(daemon.error) << daemon.error->what;
  EXPECT_EQ(test::mode_of(dir / "run/eps/s.sock"), 0660u);
  EXPECT_EQ(test::mode_of(dir / "run/eps"), 0755u);
}

TEST(StatusSocket, LeavesNothingBehind) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  daemon.stop();
  EXPECT_FALSE(fs::exists(dir / "s.sock"));
  const auto answer = ask(dir / "s.sock", {{"command", "status"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::not_found);
}

TEST(StatusSocket, ReplacesWhatACrashLeft) {
  const TemporaryDirectory dir;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (dir / "s.sock").c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  ASSERT_TRUE(fs::exists(dir / "s.sock"));
  EXPECT_EQ(ask(dir / "s.sock", {{"command", "status"}}).error().code, Errc::not_found);
  Daemon daemon(dir / "s.sock");
  ASSERT_FALSE(daemon.error) << daemon.error->what;
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "status"}}));
}

TEST(StatusSocket, DoesNotTakeTheSocketOfARunningDaemon) {
  const TemporaryDirectory dir;
  Daemon first(dir / "s.sock");
  Daemon second(dir / "s.sock");
  ASSERT_TRUE(second.error);
  EXPECT_EQ(second.error->code, Errc::in_use);
  EXPECT_EQ(second.error->what, "Another eps-client runs with the status socket " + dir.path() +
                                    "/s.sock; stop that one, or give this one its own with --socket and --state.");
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "status"}}));
}

TEST(StatusSocket, LeavesTheSocketThatReplacedItsOwn) {
  const TemporaryDirectory dir;
  Daemon first(dir / "s.sock");
  fs::remove(dir / "s.sock");
  Daemon second(dir / "s.sock");
  first.stop();
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "status"}}));
}

TEST(StatusSocket, RefusesWhatCannotBeASocket) {
  const TemporaryDirectory dir;
  dir.write("file", "precious");
  const Daemon on_file(dir / "file");
  ASSERT_TRUE(on_file.error);
  EXPECT_THAT(on_file.error->what, HasSubstr("there is a file that is not a socket"));
  EXPECT_EQ(test::read_text(dir / "file"), "precious");
  const Daemon too_long(dir / std::string(120, 'x'));
  ASSERT_TRUE(too_long.error);
  EXPECT_THAT(too_long.error->what, HasSubstr("File name too long; choose another one with --socket."));
  const Daemon below_file(dir / "file/s.sock");
  ASSERT_TRUE(below_file.error);
  EXPECT_THAT(below_file.error->what, HasSubstr("Not a directory"));
}

TEST(StatusSocket, SaysWhatIsWrongWithARequest) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  for (const char* request : {"status\n", "[1]\n", "\n", "{\"command\":\n", "{\"a\":\"\xff\"}\n"}) {
    EXPECT_EQ(exchange_raw(dir / "s.sock", request), "{\"error\":\"the request is not a JSON object\",\"ok\":false}\n")
        << request;
  }
  EXPECT_THAT(exchange_raw(dir / "s.sock", "{\"command\":5}\n"), HasSubstr("a field of the wrong type"));
  EXPECT_EQ(exchange_raw(dir / "s.sock", std::string(kMaxRequestSize, ' ')),
            "{\"error\":\"the request is too long\",\"ok\":false}\n");
}

TEST(StatusSocket, AnswersWithInvalidUtf8) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  EXPECT_EQ(exchange_raw(dir / "s.sock", "{\"command\":\"break\"}\n"), "{\"text\":\"\xef\xbf\xbd\"}\n");
}

TEST(StatusSocket, BoundsItsConnections) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  std::vector<int> idle;
  for (std::size_t i = 0; i < kMaxStatusConnections; ++i) idle.push_back(connect_to(dir / "s.sock"));
  const auto refused = ask(dir / "s.sock", {{"command", "status"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  for (const int fd : idle) ::close(fd);
  // The daemon needs a moment to notice that they are gone.
  auto answer = ask(dir / "s.sock", {{"command", "status"}});
  for (int i = 0; i < 200 && !answer; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    answer = ask(dir / "s.sock", {{"command", "status"}});
  }
  EXPECT_TRUE(answer);
}

TEST(StatusSocket, EndsASilentConnection) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(exchange_raw(dir / "s.sock", "{"), "");
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, kStatusTimeout - std::chrono::milliseconds(500));
}

TEST(StatusSocket, StopsWithConnectionsOpen) {
  const TemporaryDirectory dir;
  Daemon daemon(dir / "s.sock");
  const int fd = connect_to(dir / "s.sock");
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "status"}}));
  daemon.stop();
  char byte = 0;
  EXPECT_EQ(::recv(fd, &byte, 1, 0), 0);
  ::close(fd);
}

TEST(StatusClient, GivesUpOnADaemonThatDoesNotAnswer) {
  const TemporaryDirectory dir;
  std::promise<void> go;
  Daemon daemon(dir / "s.sock", [&](const json&) {
    go.get_future().wait();
    return json::object();
  });
  const auto answer = ask(dir / "s.sock", {{"command", "status"}}, std::chrono::milliseconds(50));
  go.set_value();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::unavailable);
  EXPECT_THAT(answer.error().what, HasSubstr("does not answer in time"));
}

TEST(StatusSocket, DoesNotDoWhatNobodyWaitsForAnyMore) {
  const TemporaryDirectory dir;
  std::promise<void> busy, go;
  std::vector<std::string> done;
  Daemon daemon(dir / "s.sock", [&](const json& request) {
    done.push_back(request.value("command", ""));
    if (done.size() == 1) {
      busy.set_value();
      go.get_future().wait();
    }
    return json{{"ok", true}};
  });
  std::thread first([&] { EXPECT_TRUE(ask(dir / "s.sock", {{"command", "status"}})); });
  busy.get_future().wait();
  EXPECT_FALSE(ask(dir / "s.sock", {{"command", "remove"}}, std::chrono::milliseconds(50)));
  go.set_value();
  first.join();
  EXPECT_TRUE(ask(dir / "s.sock", {{"command", "members"}}));
  daemon.stop();
  EXPECT_THAT(done, testing::ElementsAre("status", "members"));
}

TEST(StatusClient, SaysThatNobodyAnswers) {
  const TemporaryDirectory dir;
  const auto answer = ask(dir / "s.sock", {{"command", "status"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::not_found);
  EXPECT_FALSE(ask(std::string(200, 'x'), json::object()));
}

}  // namespace
}  // namespace eps::ops
