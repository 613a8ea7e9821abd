// SPDX-License-Identifier: MIT
#include "ops/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "ops/accept_loop.h"
#include "ops/background.h"

namespace eps::ops {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// "localhost:9100", "127.0.0.1", "[::1]:80".
bool names_this_computer(std::string_view host) {
  if (parse_endpoint(host) || parse_ip(host)) return true;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return parse_ip(host.substr(1, host.size() - 2)).has_value();
  return host.substr(0, host.find(':')) == "localhost";
}

struct Answering {
  HttpServer::Handler handler;
  Background& background;
  bool loopback = false;
};

HttpServer::Answer page_for(const Answering& answering, const http::request<http::empty_body>& request) {
  const auto refusal = [](unsigned status, const char* text) { return HttpPage{status, HttpPage{}.type, text}; };
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return refusal(405, "Only GET and HEAD are supported.\n");
  }
  const auto host = request[http::field::host];
  if (answering.loopback && !names_this_computer({host.data(), host.size()})) {
    return refusal(421, "Use the host name localhost.\n");
  }
  const std::string_view target(request.target().data(), request.target().size());
  return answering.handler(target.substr(0, target.find('?')));
}

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<const Answering> answering)
      : stream_(std::move(socket)), answering_(std::move(answering)) {}

  void read() {
    parser_.emplace();
    parser_->header_limit(kMaxHttpHeader);
    parser_->body_limit(0);
    stream_.expires_after(kHttpTimeout);
    http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](ErrorCode e, std::size_t) {
      if (!e) return self->write();
      if (e != http::error::end_of_stream && self->answering_) self->refuse(e);
    });
  }
  void close() {
    answering_.reset();
    stream_.close();
  }

 private:
  void write() {
    if (!answering_) return;
    const auto& request = parser_->get();
    const auto reply = [self = shared_from_this(), version = request.version(), keep_alive = request.keep_alive(),
                        head = request.method() == http::verb::head](HttpPage page) {
      if (self->answering_) self->send(std::move(page), version, keep_alive, head);
    };
    HttpServer::Answer answer = page_for(*answering_, request);
    if (auto* page = std::get_if<HttpPage>(&answer)) return reply(std::move(*page));
    answering_->background.run([reply, make = std::move(std::get<1>(answer))]() -> Background::Done {
      return [reply, page = make()]() mutable { reply(std::move(page)); };
    });
  }
  // An oversized or malformed request gets an answer, too; silence and broken connections do not.
  void refuse(ErrorCode e) {
    if (e.category() != make_error_code(http::error::bad_method).category()) return;
    send({400, HttpPage{}.type, "Bad request.\n"}, 11, false, false);
  }
  void send(HttpPage page, unsigned version, bool keep_alive, bool head) {
    response_ = {};
    response_.version(version);
    response_.result(page.status);
    response_.set(http::field::content_type, page.type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    response_.keep_alive(keep_alive);
    response_.body() = std::move(page.body);
    response_.prepare_payload();
    if (head) response_.body().clear();
    serializer_.emplace(response_);
    if (head) serializer_->split(true);
    stream_.expires_after(kHttpTimeout);
    const auto done = [self = shared_from_this(), keep_alive](ErrorCode e, std::size_t) {
      if (e || !self->answering_) return;
      if (keep_alive) return self->read();
      ErrorCode ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    };
    if (head) return http::async_write_header(stream_, *serializer_, done);
    http::async_write(stream_, *serializer_, done);
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{kMaxHttpHeader};
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  std::shared_ptr<const Answering> answering_;  // null once closed
};

}  // namespace

struct HttpServer::Impl {
  Impl(boost::asio::io_context& io, Background& beside, bool on_loopback)
      : background(beside), loopback(on_loopback), loop(std::make_shared<AcceptLoop<tcp>>(io)) {}
  ~Impl() { loop->stop(); }

  Result<void> listen(const Endpoint& at) {
    const tcp::endpoint endpoint = at.ip.is_v4()
                                       ? tcp::endpoint(boost::asio::ip::address_v4(at.ip.v4().value), at.port)
                                       : tcp::endpoint(boost::asio::ip::make_address(to_string(at.ip)), at.port);
    tcp::acceptor& acceptor = loop->acceptor();
    ErrorCode e;
    acceptor.open(endpoint.protocol(), e);
    if (!e) acceptor.set_option(tcp::acceptor::reuse_address(true), e);
    // The address may appear only later, with the network.
    const int on = 1;
    if (!e) ::setsockopt(acceptor.native_handle(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    if (!e) acceptor.bind(endpoint, e);
    if (!e) acceptor.listen(static_cast<int>(kMaxHttpConnections), e);
    if (!e) return {};
    return make_error(
        e == boost::asio::error::address_in_use ? Errc::in_use : Errc::unavailable,
        "Cannot serve HTTP at " + to_string(at) + ": " + e.message() + "; choose another address or port with --http.",
        e.value());
  }

  void start(Handler handler) {
    const auto answering = std::make_shared<const Answering>(Answering{std::move(handler), background, loopback});
    loop->start([this, answering](tcp::socket socket) {
      if (connections.full()) return;
      const auto connection = std::make_shared<Connection>(std::move(socket), answering);
      connections.add(connection);
      connection->read();
    });
  }

  Background& background;
  const bool loopback;
  std::shared_ptr<AcceptLoop<tcp>> loop;
  Connections<Connection> connections{kMaxHttpConnections};
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::open(boost::asio::io_context& io, Background& background,
                                                     const Endpoint& at) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::make_unique<Impl>(io, background, at.ip.is_loopback())));
  if (auto listening = server->impl_->listen(at); !listening) return listening.error();
  return server;
}

void HttpServer::start(Handler handler) {
  impl_->start(std::move(handler));
}

std::uint16_t HttpServer::port() const {
  ErrorCode ignored;
  return impl_->loop->acceptor().local_endpoint(ignored).port();
}

}  // namespace eps::ops
