// SPDX-License-Identifier: MIT
#pragma once

// One round of dialling: names are looked up concurrently, their addresses are dialled in turn. See server_link.h.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "runtime/proxy.h"
#include "runtime/resolver.h"
#include "runtime/server_link.h"
#include "runtime/tls.h"

namespace eps::runtime {

// The addresses that names had when last resolved.
using KnownAddresses = std::map<std::string, std::vector<IpAddress>>;

class Dialer : public std::enable_shared_from_this<Dialer> {
 public:
  struct Handlers {
    // `server`: the endpoint reached. Through a proxy that is the server if its address is known, else the proxy.
    // `tls`: the TLS that the connection must use; null: none.
    std::function<void(boost::asio::ip::tcp::socket socket, const Endpoint& server, std::unique_ptr<Tls> tls)>
        on_connected;
    std::function<void(std::string why)> on_dialed_all;  // once, at the end
  };
  Dialer(boost::asio::io_context& io, Resolver& resolver, KnownAddresses& known, std::vector<ServerPort> ports,
         std::optional<Proxy> proxy, Handlers handlers);
  void start(const std::vector<std::string>& servers);
  // No handler is called any more.
  void stop();
  // An established connection came to nothing: try the next address.
  void hurry();
  const std::vector<IpAddress>& addresses() const { return addresses_; }

 private:
  using Clock = boost::asio::steady_timer::clock_type;
  // Where to dial, and the server, by name and port, that is reached there.
  struct Target {
    boost::asio::ip::tcp::endpoint endpoint;
    std::string server;
    ServerPort port;
    bool proxied = false;
  };
  using Socket = std::shared_ptr<boost::asio::ip::tcp::socket>;
  void resolve(const std::string& server);
  void resolve_proxied(const std::vector<std::string>& servers);
  void add_proxied(const std::vector<std::string>& servers, const std::vector<IpAddress>& proxies);
  void on_tcp(const Socket& socket, const Target& target);
  void ask_proxy(const Socket& socket, const Target& target);
  void on_proxied(const Socket& socket, const Target& target);
  void failed(const Socket& socket, const std::string& why);
  void connected(const Socket& socket, const Target& target, const Endpoint& server);
  void add(const std::string& server, const std::vector<IpAddress>& addresses);
  void use_known();
  void look_again();
  void note(const std::string& failure);
  void advance();
  void next_after(Clock::duration pause);
  void end(std::string why);

  boost::asio::io_context& io_;
  Resolver& resolver_;
  KnownAddresses& known_;
  std::vector<ServerPort> ports_;
  std::optional<Proxy> proxy_;
  Handlers handlers_;
  boost::asio::steady_timer next_attempt_, names_late_, names_again_, deadline_;
  std::vector<std::deque<Target>> todo_;  // one per port
  std::vector<IpAddress> addresses_;
  std::vector<std::string> named_;       // those that are not addresses
  std::vector<std::string> unresolved_;  // of these
  std::vector<std::shared_ptr<boost::asio::ip::tcp::socket>> running_;
  bool names_are_late_ = false;
  bool done_ = false;
  std::string failures_;
};

}  // namespace eps::runtime
