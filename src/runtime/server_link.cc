// SPDX-License-Identifier: MIT
#include "runtime/server_link.h"

#include <boost/asio/io_context.hpp>
#include <map>
#include <utility>

#include "runtime/dialer.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {
using boost::asio::ip::tcp;
using control::LinkId;

struct ServerLink::Impl : std::enable_shared_from_this<ServerLink::Impl> {
  Impl(boost::asio::io_context& context, std::vector<std::string> names, std::optional<Proxy> way, Handlers h)
      : io(context), servers(std::move(names)), proxy(std::move(way)), handlers(std::move(h)), resolver(context) {}

  boost::asio::io_context& io;
  std::vector<std::string> servers;
  std::optional<Proxy> proxy;
  Handlers handlers;
  Resolver resolver;
  KnownAddresses known;
  std::shared_ptr<Dialer> dialer;
  std::map<LinkId, std::shared_ptr<TcpStream>> streams;
  LinkId last_link = 0;

  void adopt(tcp::socket socket, const Endpoint& server, std::unique_ptr<Tls> tls) {
    const LinkId link = ++last_link;
    auto stream = std::make_shared<TcpStream>(std::move(socket), kMaxBacklog, std::move(tls));
    streams.emplace(link, stream);
    const std::weak_ptr<Impl> weak = weak_from_this();
    stream->start({[weak, link](ByteView bytes) {
                     if (const auto self = weak.lock()) self->handlers.on_bytes(link, bytes);
                   },
                   [weak, link](std::string why) {
                     const auto self = weak.lock();
                     const auto closed = self ? self->streams.extract(link) : decltype(streams)::node_type();
                     if (!closed) return;
                     if (closed.mapped()->awaits_tls()) {
                       why +=
                           std::string(why.empty() ? "" : ", ") +
                           "before TLS was agreed on: eps-server takes TLS on port 443, and with --tls on every port";
                     }
                     if (self->dialer) self->dialer->hurry();
                     self->handlers.on_closed(link, std::move(why));
                   },
                   [weak, link] {
                     if (const auto self = weak.lock()) self->handlers.on_drained(link);
                   }});
    handlers.on_connected(link, server, dialer->addresses());
  }
};

ServerLink::ServerLink(boost::asio::io_context& io, std::vector<std::string> servers, std::optional<Proxy> proxy,
                       Handlers handlers)
    : impl_(std::make_shared<Impl>(io, std::move(servers), std::move(proxy), std::move(handlers))) {}

ServerLink::~ServerLink() {
  stop_dialing();
  for (const auto& [link, stream] : impl_->streams) stream->close();
}

bool ServerLink::set_servers(std::vector<std::string> servers, std::optional<Proxy> proxy) {
  const bool others = servers != impl_->servers || proxy != impl_->proxy;
  impl_->servers = std::move(servers);
  impl_->proxy = std::move(proxy);
  return others;
}

void ServerLink::dial(std::vector<ServerPort> ports) {
  stop_dialing();
  const std::weak_ptr<Impl> weak = impl_;
  Dialer::Handlers handlers{[weak](tcp::socket socket, const Endpoint& server, std::unique_ptr<Tls> tls) {
                              if (const auto self = weak.lock()) self->adopt(std::move(socket), server, std::move(tls));
                            },
                            [weak](std::string why) {
                              const auto self = weak.lock();
                              if (!self) return;
                              self->dialer.reset();
                              self->handlers.on_dialed_all(std::move(why));
                            }};
  impl_->dialer = std::make_shared<Dialer>(impl_->io, impl_->resolver, impl_->known, std::move(ports), impl_->proxy,
                                           std::move(handlers));
  impl_->dialer->start(impl_->servers);
}

void ServerLink::stop_dialing() {
  if (impl_->dialer) std::exchange(impl_->dialer, nullptr)->stop();
}

void ServerLink::send(LinkId link, Bytes bytes) {
  const auto it = impl_->streams.find(link);
  if (it != impl_->streams.end()) it->second->send(std::move(bytes));
}

std::size_t ServerLink::backlog(LinkId link) const {
  const auto it = impl_->streams.find(link);
  return it == impl_->streams.end() ? 0 : it->second->backlog();
}

bool ServerLink::tls(LinkId link) const {
  const auto it = impl_->streams.find(link);
  return it != impl_->streams.end() && it->second->tls();
}

void ServerLink::close(LinkId link) {
  const auto stream = impl_->streams.extract(link);
  if (!stream) return;
  stream.mapped()->close();
  if (impl_->dialer) impl_->dialer->hurry();
}

}  // namespace eps::runtime
