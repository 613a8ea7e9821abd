#pragma once

// The client's TCP connection to the server: resolves all names side by side, tries their addresses one after the
// other without waiting for the slow ones (RFC 8305: a new attempt every 250 ms or as soon as one failed, IPv6 and IPv4
// in turn), first all with the first port, then all with the next, and then moves bytes.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

namespace boost::asio {
class io_context;
}

namespace eps::runtime {

class ServerLink {
 public:
  struct Handlers {
    // `all`: the addresses that were found under the server's names.
    std::function<void(const Endpoint& server, std::vector<IpAddress> all)> on_connected;
    std::function<void(std::string why)> on_failed;  // no address could be reached
    std::function<void(ByteView bytes)> on_bytes;
    std::function<void(std::string why)> on_closed;  // by the other end or by an error, never by close()
    std::function<void()> on_drained;                // all that was sent is the kernel's
  };

  ServerLink(boost::asio::io_context& io, std::vector<std::string> servers, Handlers handlers);
  ~ServerLink();

  // For the next connect().
  void set_servers(std::vector<std::string> servers);
  // REQUIRES: not connected and not connecting; a port. Handlers are called from the event loop, never from inside a
  // call.
  void connect(std::vector<std::uint16_t> ports);
  // Queues bytes. More than kMaxBacklog waiting: the connection is closed, as its other end has stopped reading.
  void send(Bytes bytes);
  std::size_t backlog() const;
  // Sends what is queued, then closes. No handler is called for this connection any more.
  void close();

  static constexpr std::size_t kMaxBacklog = 16 * 1024 * 1024;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace eps::runtime
