// SPDX-License-Identifier: MIT
#pragma once

// How `eps` queries a running daemon: a Unix stream socket, one request per connection. The request is one line of JSON
// {"command":"status"}, the answer one line of JSON {"ok":true,...} or {"ok":false,"error":"one sentence"}.

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>

#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace eps::ops {

inline constexpr std::size_t kMaxRequestSize = 2 * 1024 * 1024;  // bytes; a longer request is refused
inline constexpr std::size_t kMaxStatusConnections = 32;         // at once; the next one is closed unanswered
inline constexpr std::chrono::seconds kStatusTimeout{5};         // for a whole connection

class Background;

class StatusSocket {
 public:
  // The answer, or a function that makes it if that takes long: called in another thread, so it must own what it needs.
  using Answer = std::variant<nlohmann::json, std::function<nlohmann::json()>>;
  // `request` is a JSON object (anything else is refused before); its field "uid" identifies the calling user according
  // to the kernel, whatever the program itself put there. Called from the event loop.
  using Handler = std::function<Answer(const nlohmann::json& request)>;

  // Listens at `path`, open to its owner and to its group, which has read access (status, peers, members, pairs, why,
  // graph) and nothing more unless it is root; creates the directory (0755) if it is missing and replaces what a crash
  // left behind. If another process answers there: Errc::in_use. `program` is for the error's text. `background`
  // outlives it. Requests wait until start().
  static Result<std::unique_ptr<StatusSocket>> open(boost::asio::io_context& io, Background& background,
                                                    const std::string& path, const std::string& program);
  void start(Handler handler);
  // Closes every connection and removes the socket's file. No handler is called any more.
  ~StatusSocket();
  StatusSocket(const StatusSocket&) = delete;
  StatusSocket& operator=(const StatusSocket&) = delete;

 private:
  struct Impl;
  explicit StatusSocket(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Sends a request and waits. Errc::not_found: nobody listens there; Errc::permission: not allowed; Errc::unavailable:
// no answer in time; Errc::corrupt: the answer is not a JSON object.
Result<nlohmann::json> ask(const std::string& path, const nlohmann::json& request,
                           std::chrono::milliseconds timeout = kStatusTimeout);

}  // namespace eps::ops
