// SPDX-License-Identifier: MIT
#pragma once

// Read-only pages over HTTP/1.1 for monitoring, on the event loop of the daemon. GET and HEAD only; requests have no
// body; 32 connections at most, each request within ten seconds.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/types.h"

namespace boost::asio {
class io_context;
}

namespace eps::ops {

inline constexpr std::size_t kMaxHttpConnections = 32;  // at once; the next one is closed unanswered
inline constexpr std::size_t kMaxHttpHeader = 8192;     // bytes of a request
inline constexpr std::chrono::seconds kHttpTimeout{10};

struct HttpPage {
  unsigned status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

class Background;

class HttpServer {
 public:
  // The page, or a function that makes it if that takes long: called in another thread, so it must own what it needs.
  using Answer = std::variant<HttpPage, std::function<HttpPage()>>;
  // `path` is without the query. Called from the event loop; any time it takes delays the daemon.
  using Handler = std::function<Answer(std::string_view path)>;

  // If it listens on a loopback address, only requests for localhost or an IP address are answered, so that a web page
  // whose name points to this computer cannot read anything.
  // `background` outlives the server. Requests wait until start().
  static Result<std::unique_ptr<HttpServer>> open(boost::asio::io_context& io, Background& background,
                                                  const Endpoint& at);
  void start(Handler handler);
  // Closes every connection. No handler is called any more.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::ops
