// SPDX-License-Identifier: MIT
#pragma once

// Accepts TCP connections at one port, by IPv6 and IPv4.

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "ops/accept_loop.h"

namespace eps::runtime {

class TcpListener {
 public:
  using OnAccept = ops::AcceptLoop<boost::asio::ip::tcp>::OnAccept;
  // Errors name `option`, which set the port. Nothing is accepted before start().
  static Result<std::unique_ptr<TcpListener>> open(boost::asio::io_context& io, std::uint16_t port,
                                                   const std::string& option);
  ~TcpListener() { loop_->stop(); }
  void start(OnAccept on_accept) { loop_->start(std::move(on_accept)); }

 private:
  explicit TcpListener(boost::asio::io_context& io)
      : loop_(std::make_shared<ops::AcceptLoop<boost::asio::ip::tcp>>(io)) {}

  std::shared_ptr<ops::AcceptLoop<boost::asio::ip::tcp>> loop_;
};

}  // namespace eps::runtime
