#pragma once

// Accepts TCP connections at one port, by IPv6 and IPv4.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace eps::runtime {

class TcpListener {
 public:
  using OnAccept = std::function<void(boost::asio::ip::tcp::socket socket)>;
  // Errors name `option`, which set the port. Nothing is accepted before start().
  static Result<std::unique_ptr<TcpListener>> open(boost::asio::io_context& io, std::uint16_t port,
                                                   const std::string& option);
  void start(OnAccept on_accept);

 private:
  explicit TcpListener(boost::asio::io_context& io) : acceptor_(io), pause_(io) {}
  void accept();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  OnAccept on_accept_;
};

}  // namespace eps::runtime
