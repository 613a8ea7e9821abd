// SPDX-License-Identifier: MIT
#pragma once

// Shared by everything that listens: accepting connections, and storing those that have not ended.

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace eps::ops {

// Accepts at an acceptor that its owner has opened, on the event loop. If descriptors run out it pauses instead of
// spinning.
template <class Protocol>
class AcceptLoop : public std::enable_shared_from_this<AcceptLoop<Protocol>> {
 public:
  using OnAccept = std::function<void(typename Protocol::socket socket)>;

  explicit AcceptLoop(boost::asio::io_context& io) : acceptor_(io), pause_(io) {}
  typename Protocol::acceptor& acceptor() { return acceptor_; }
  void start(OnAccept on_accept) {
    on_accept_ = std::move(on_accept);
    accept();
  }
  // on_accept is not called any more. Must not be called from inside it.
  void stop() {
    on_accept_ = nullptr;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }

 private:
  static constexpr std::chrono::milliseconds kPause{200};

  void accept() {
    acceptor_.async_accept([self = this->shared_from_this()](boost::system::error_code e, auto socket) {
      if (!self->on_accept_) return;
      if (!e) {
        self->on_accept_(std::move(socket));
        return self->accept();
      }
      self->pause_.expires_after(kPause);
      self->pause_.async_wait([self](boost::system::error_code cancelled) {
        if (!cancelled && self->on_accept_) self->accept();
      });
    });
  }

  typename Protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  OnAccept on_accept_;
};

// Connections that keep themselves alive, up to a maximum. They have close().
template <class Connection>
class Connections {
 public:
  explicit Connections(std::size_t max) : max_(max) {}
  ~Connections() {
    for (const auto& weak : open_) {
      if (const auto connection = weak.lock()) connection->close();
    }
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  bool full() {
    std::erase_if(open_, [](const auto& connection) { return connection.expired(); });
    return open_.size() >= max_;
  }
  void add(const std::shared_ptr<Connection>& connection) { open_.push_back(connection); }

 private:
  std::size_t max_;
  std::vector<std::weak_ptr<Connection>> open_;
};

}  // namespace eps::ops
