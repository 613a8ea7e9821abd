// SPDX-License-Identifier: MIT
#include "ops/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "ops/background.h"

namespace eps::ops {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

HttpServer::Answer page(std::string_view path) {
  if (path == "/beside") {
    return [loop = std::this_thread::get_id()] {
      return HttpPage{.body = std::this_thread::get_id() == loop ? "in the loop\n" : "beside it\n"};
    };
  }
  if (path == "/big") return HttpPage{.body = std::string(3'000'000, 'x')};
  if (path == "/ill") return HttpPage{.status = 503, .body = "ill\n"};
  return HttpPage{.body = "this is " + std::string(path) + "\n"};
}

class HttpTest : public testing::Test {
 protected:
  HttpTest() : server_(HttpServer::open(io_, background_, *parse_endpoint("127.0.0.1:1"))) {
    // Port 0 is not valid here, so a free one is searched for.
    for (std::uint16_t port = 20000; !server_ && port < 21000; ++port) {
      server_ = HttpServer::open(io_, background_, {*parse_ip("127.0.0.1"), port});
    }
    EXPECT_TRUE(server_);
    (*server_)->start(page);
    port_ = (*server_)->port();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~HttpTest() override { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    boost::asio::post(io_, [this] { server_->reset(); });
    thread_.join();
  }
  tcp::socket connect() {
    tcp::socket socket(client_);
    socket.connect({boost::asio::ip::address_v4::loopback(), port_});
    return socket;
  }
  // Everything that arrives until the server closes.
  static std::string rest(tcp::socket& socket) {
    std::string out;
    boost::system::error_code e;
    boost::asio::read(socket, boost::asio::dynamic_buffer(out), e);
    return out;
  }
  std::string ask(const std::string& request) {
    tcp::socket socket = connect();
    boost::system::error_code e;
    boost::asio::write(socket, boost::asio::buffer(request), e);
    return rest(socket);
  }
  std::string get(const std::string& path, const std::string& host = "localhost") {
    return ask("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
  }

  boost::asio::io_context io_{1}, client_{1};
  Background background_{io_};
  Result<std::unique_ptr<HttpServer>> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(HttpTest, ServesPages) {
  const std::string answer = get("/a?b=c");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nthis is /a\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n"));
  EXPECT_THAT(get("/ill"), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_GT(get("/big").size(), 3'000'000U);
}

TEST_F(HttpTest, AnswersOneRequestAfterTheOther) {
  const std::string both =
      ask("GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
          "GET /2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(both, HasSubstr("this is /1\n"));
  EXPECT_THAT(both, HasSubstr("this is /2\n"));
}

TEST_F(HttpTest, SlowPagesAreMadeOutsideTheLoop) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(get("/beside"), HasSubstr("\r\n\r\nbeside it\n"));
}

TEST_F(HttpTest, HeadRequestGetsTheHeadOnly) {
  const std::string answer = ask("HEAD /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 11\r\n"));
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST_F(HttpTest, RefusesUnknownPathsAndMethods) {
  EXPECT_THAT(ask("POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(ask("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /a HTTP/1.1\r\nX: " + std::string(kMaxHttpHeader, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpTest, RefusesForeignNamesForThisComputer) {
  EXPECT_THAT(get("/a", "evil.example"), StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(get("/a", "evil.example:" + std::to_string(port_)), StartsWith("HTTP/1.1 421 "));
  EXPECT_THAT(ask("GET /a HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 421 "));
  for (const char* host : {"127.0.0.1:9", "[::1]:9", "[::1]", "localhost:9", "127.0.0.1"}) {
    EXPECT_THAT(get("/a", host), StartsWith("HTTP/1.1 200 ")) << host;
  }
}

TEST_F(HttpTest, BoundsItsConnections) {
  std::vector<tcp::socket> idle;
  for (std::size_t i = 0; i < kMaxHttpConnections; ++i) idle.push_back(connect());
  EXPECT_EQ(get("/a"), "");
  idle.clear();
  std::string answer;
  for (int i = 0; i < 500 && answer.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    answer = get("/a");
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpTest, StopsWithConnectionsOpen) {
  tcp::socket open = connect();
  EXPECT_THAT(get("/a"), StartsWith("HTTP/1.1 200 "));
  stop();
  EXPECT_EQ(rest(open), "");
}

TEST_F(HttpTest, SaysWhyItCannotListen) {
  boost::asio::io_context io{1};
  Background background(io);
  const auto second = HttpServer::open(io, background, {*parse_ip("127.0.0.1"), port_});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().what, "Cannot serve HTTP at 127.0.0.1:" + std::to_string(port_) +
                                     ": Address already in use; choose another address or port with --http.");
}

}  // namespace
}  // namespace eps::ops
