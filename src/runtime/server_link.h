// SPDX-License-Identifier: MIT
#pragma once

// The client's TCP connections to the server: dials all addresses of all names, one after the other without waiting for
// the slow ones (RFC 8305: IPv6 and IPv4 alternately, the next after 250 ms or as soon as one failed), first all with
// the first port, then all with the next, and moves bytes. Whatever accepts a connection need not be the server: the
// next address is dialled a second after one was reached, until told to stop.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "control/admission.h"
#include "runtime/proxy.h"

namespace boost::asio {
class io_context;
}

namespace eps::runtime {

// A TCP port of the server, and the protocol to use there.
struct ServerPort {
  std::uint16_t number = 0;
  bool tls = false;
  friend bool operator==(const ServerPort&, const ServerPort&) = default;
};

class ServerLink {
 public:
  // Called from the event loop, never from inside a call.
  struct Handlers {
    // `all`: the addresses found for the server's names. If `server` is not among them, it is a proxy's.
    std::function<void(control::LinkId link, const Endpoint& server, std::vector<IpAddress> all)> on_connected;
    // All addresses were dialled; `why`: what failed.
    std::function<void(std::string why)> on_dialed_all;
    std::function<void(control::LinkId link, ByteView bytes)> on_bytes;
    // By the other end or by an error, never by close().
    std::function<void(control::LinkId link, std::string why)> on_closed;
    std::function<void(control::LinkId link)> on_drained;  // everything sent has reached the kernel
  };

  ServerLink(boost::asio::io_context& io, std::vector<std::string> servers, std::optional<Proxy> proxy,
             Handlers handlers);
  ~ServerLink();

  // For the next dial(). Whether they are other ones.
  bool set_servers(std::vector<std::string> servers, std::optional<Proxy> proxy);
  // Starts, replacing a running round. Established connections stay. REQUIRES: a port.
  void dial(std::vector<ServerPort> ports);
  void stop_dialing();
  // Queues bytes. With more than kMaxBacklog waiting the connection is closed: its other end has stopped reading.
  void send(control::LinkId link, Bytes bytes);
  std::size_t backlog(control::LinkId link) const;
  // Whether it is inside TLS.
  bool tls(control::LinkId link) const;
  // Sends what is queued, then closes. No handler is called for this connection any more.
  void close(control::LinkId link);

  static constexpr std::size_t kMaxBacklog = 16 * 1024 * 1024;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace eps::runtime
