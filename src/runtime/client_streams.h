// SPDX-License-Identifier: MIT
#pragma once

// The control connections of a server's clients, and the limits of what waits for clients that do not read. Belongs to
// the event loop's thread.

#include <boost/asio/ip/tcp.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/server.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {

class ClientStreams {
 public:
  static constexpr std::size_t kMaxBacklogs = 256 * 1024 * 1024;
  // `max_backlogs`: bytes that may wait for all clients together.
  explicit ClientStreams(std::size_t max_backlogs = kMaxBacklogs) : max_backlogs_(max_backlogs) {}
  // Nothing is read or sent before start(). `may_become_tls`: if the client begins with it.
  control::ConnId add(boost::asio::ip::tcp::socket socket, bool may_become_tls);
  // REQUIRES: contains(id). When the stream ends it is gone before on_closed is called.
  void start(control::ConnId id, TcpStream::Handlers handlers);
  bool contains(control::ConnId id) const { return streams_.contains(id); }
  // What waits for this client; nullopt: it is gone.
  std::optional<std::size_t> backlog(control::ConnId id) const;
  void send(control::ConnId id, Bytes bytes);
  void close(control::ConnId id);
  // If too much waits for all together: ends the connection for which most waits; then a sentence for the log.
  std::optional<std::string> enforce_limit();

 private:
  static constexpr std::size_t kMaxBacklog = 16 * 1024 * 1024;  // of one
  const std::size_t max_backlogs_;
  std::map<control::ConnId, std::shared_ptr<TcpStream>> streams_;
  std::shared_ptr<std::size_t> waiting_ = std::make_shared<std::size_t>(0);  // bytes
  control::ConnId next_ = 1;
};

}  // namespace eps::runtime
