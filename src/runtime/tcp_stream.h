// SPDX-License-Identifier: MIT
#pragma once

// An established TCP connection, on either side: reads until it ends, writes from a bounded queue. On the server's side
// a connection that starts with TLS uses TLS from there on.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/types.h"
#include "runtime/tls.h"

namespace eps::runtime {

Endpoint to_endpoint(const boost::asio::ip::tcp::endpoint& endpoint);

// Relayed data is queued in a control connection only while less than this waits, so that control messages never wait
// for long.
inline constexpr std::size_t kStreamRoom = 32 * 1024;
// While more than this waits for a client, the server reads nothing from it: a client that does not read answers can
// ask no more. The list of 10,000 members is smaller.
inline constexpr std::size_t kMaxUnread = 2 * 1024 * 1024;

class TcpStream : public std::enable_shared_from_this<TcpStream> {
 public:
  struct Handlers {
    std::function<void(ByteView bytes)> on_bytes;
    std::function<void(std::string why)> on_closed;  // once; not after close()
    std::function<void()> on_drained = [] {};        // everything queued has reached the kernel
  };
  // `tls`: for everything sent, on the client's side; null: none.
  TcpStream(boost::asio::ip::tcp::socket socket, std::size_t max_backlog, std::unique_ptr<Tls> tls = nullptr);
  ~TcpStream() { take_off(backlog_); }
  // For the server's side, before start().
  void accept_tls() { may_become_tls_ = true; }
  // For the server's side, before start(): kMaxUnread applies, and what waits here is part of the `total` of all
  // streams.
  void answers(std::shared_ptr<std::size_t> total) { total_ = std::move(total); }
  void start(Handlers handlers);
  // Exceeding the backlog ends the connection: its other end has stopped reading.
  void send(Bytes bytes);
  std::size_t backlog() const { return backlog_; }
  bool tls() const { return tls_ != nullptr; }
  // It should be TLS, but the handshake is not complete.
  bool awaits_tls() const { return tls_ && !tls_->agreed(); }
  // Ends the connection soon, as if it had failed.
  void end(std::string why);
  // Writes out what is queued, for at most kLinger, then closes. No handler is called any more.
  void close();

 private:
  void read();
  void take(ByteView received);
  void queue(Bytes bytes);
  void write();
  void take_off(std::size_t written);
  void fail(std::string why);

  static constexpr std::chrono::seconds kLinger{5};
  static constexpr std::size_t kBlock = 16 * 1024;  // small messages that wait share one
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer linger_;
  std::size_t max_backlog_;
  std::unique_ptr<Tls> tls_;
  bool may_become_tls_ = false;
  Handlers handlers_;       // stay unchanged until the end: close() may be called from inside one
  std::list<Bytes> queue_;  // an empty deque takes 600 bytes
  std::size_t backlog_ = 0;
  std::shared_ptr<std::size_t> total_;  // null on the client's side
  bool held_ = false;                   // nothing is read
  bool writing_ = false;
  bool closing_ = false;
};

}  // namespace eps::runtime
