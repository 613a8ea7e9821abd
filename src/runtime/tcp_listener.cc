// SPDX-License-Identifier: MIT
#include "runtime/tcp_listener.h"

#include <boost/asio/ip/v6_only.hpp>

#include "os/underlay_mark.h"

namespace eps::runtime {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;
}  // namespace

Result<std::unique_ptr<TcpListener>> TcpListener::open(boost::asio::io_context& io, std::uint16_t port,
                                                       const std::string& option) {
  std::unique_ptr<TcpListener> listener(new TcpListener(io));
  tcp::acceptor& acceptor = listener->loop_->acceptor();
  ErrorCode e;
  // One socket for IPv6 and IPv4; IPv4 alone where the kernel has no IPv6.
  tcp::endpoint at(tcp::v6(), port);
  acceptor.open(at.protocol(), e);
  if (e) {
    at = {tcp::v4(), port};
    acceptor.open(at.protocol(), e);
  } else {
    acceptor.set_option(boost::asio::ip::v6_only(false), e);
  }
  if (!e) os::mark_underlay(acceptor.native_handle());
  if (!e) acceptor.set_option(tcp::acceptor::reuse_address(true), e);
  if (!e) acceptor.bind(at, e);
  if (!e) acceptor.listen(boost::asio::socket_base::max_listen_connections, e);
  if (!e) return listener;
  const bool in_use = e == boost::asio::error::address_in_use;
  return make_error(
      in_use ? Errc::in_use : Errc::unavailable,
      "Cannot listen on TCP port " + std::to_string(port) + ": " + e.message() +
          (in_use ? "; another program uses it (see: ss -ltnp), stop that one or choose another " + option + "." : "."),
      e.value());
}

}  // namespace eps::runtime
