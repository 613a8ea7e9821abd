// SPDX-License-Identifier: MIT
#include "runtime/dialer.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "os/underlay_mark.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {
namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

constexpr auto kAttemptDelay = std::chrono::milliseconds(250);  // RFC 8305, section 8
// A server answers an accepted connection within a round trip.
constexpr auto kSilence = std::chrono::seconds(1);
constexpr auto kGiveUpAfter = std::chrono::seconds(15);
// A name that is still unresolved by then is dialled at its previous address, and delays no round of other names.
constexpr auto kNamesLate = std::chrono::seconds(1);
// Names are looked up again while nobody answers: a server that has moved gets its name a little later.
constexpr auto kNamesAgain = std::chrono::seconds(1);
// The minimum MTU of IPv4 and IPv6 paths in both directions: the kernel would trust its interface's MTU, and stall for
// ever where larger packets are lost silently. What the connection carries needs no more.
constexpr int kMaxSegment4 = 536, kMaxSegment6 = 1220;
using MaxSegment = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_MAXSEG>;

// IPv6 and IPv4 alternately, starting with the first choice.
std::vector<IpAddress> interleave(const std::vector<IpAddress>& found) {
  std::vector<IpAddress> first, second, out;
  for (const IpAddress& ip : found) (ip.is_v4() == found.front().is_v4() ? first : second).push_back(ip);
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < second.size()) out.push_back(second[i]);
  }
  return out;
}

asio::ip::address to_asio(const IpAddress& ip) {
  if (ip.is_v4()) return asio::ip::address_v4(ip.v4().value);
  asio::ip::address_v6::bytes_type raw;
  std::memcpy(raw.data(), ip.bytes.data(), raw.size());
  return asio::ip::address_v6(raw);
}

}  // namespace

Dialer::Dialer(asio::io_context& io, Resolver& resolver, KnownAddresses& known, std::vector<ServerPort> ports,
               std::optional<Proxy> proxy, Handlers handlers)
    : io_(io),
      resolver_(resolver),
      known_(known),
      ports_(std::move(ports)),
      proxy_(std::move(proxy)),
      handlers_(std::move(handlers)),
      next_attempt_(io),
      names_late_(io),
      names_again_(io),
      deadline_(io),
      todo_(ports_.size()) {}

void Dialer::start(const std::vector<std::string>& servers) {
  deadline_.expires_after(kGiveUpAfter);
  deadline_.async_wait([self = shared_from_this()](ErrorCode e) {
    if (e) return;
    for (const std::string& name : self->unresolved_) self->note("cannot resolve " + name + ": no answer");
    self->end("no answer within 15 seconds" + (self->failures_.empty() ? "" : " (" + self->failures_ + ")"));
  });
  names_late_.expires_after(kNamesLate);
  names_late_.async_wait([self = shared_from_this()](ErrorCode e) {
    if (!e && !self->done_) self->use_known();
  });
  look_again();
  std::vector<std::string> proxied;
  for (const std::string& server : servers) {
    proxy_ && proxy_->leads_to(server) ? proxied.push_back(server) : resolve(server);
  }
  if (!proxied.empty()) resolve_proxied(proxied);
  asio::post(io_, [self = shared_from_this()] { self->advance(); });
}

void Dialer::resolve(const std::string& server) {
  if (const auto numeric = parse_ip(server)) return add(server, {*numeric});
  unresolved_.push_back(server);
  named_.push_back(server);
  resolver_.resolve(server, [self = shared_from_this(), server](Result<std::vector<IpAddress>> found) {
    if (self->done_) return;
    std::erase(self->unresolved_, server);
    if (found) {
      self->known_[server] = *found;
      self->add(server, interleave(*found));
    } else {
      self->note("cannot resolve " + server + ": " + found.error().what);
      if (const auto before = self->known_.find(server); before != self->known_.end())
        self->add(server, before->second);
    }
    self->advance();
  });
}

// Only the proxy must resolve. If the servers have addresses for us as well, UDP may reach them.
void Dialer::resolve_proxied(const std::vector<std::string>& servers) {
  for (const std::string& server : servers) {
    if (const auto numeric = parse_ip(server)) {
      known_[server] = {*numeric};
      continue;
    }
    resolver_.resolve(server, [self = shared_from_this(), server](Result<std::vector<IpAddress>> found) {
      if (found) self->known_[server] = interleave(*found);
    });
  }
  const std::string& host = proxy_->host;
  if (const auto numeric = parse_ip(host)) return add_proxied(servers, {*numeric});
  unresolved_.push_back(host);
  resolver_.resolve(host, [self = shared_from_this(), servers, host](Result<std::vector<IpAddress>> found) {
    if (self->done_) return;
    std::erase(self->unresolved_, host);
    found ? self->add_proxied(servers, interleave(*found))
          : self->note("cannot resolve the proxy " + host + ": " + found.error().what);
    self->advance();
  });
}

void Dialer::add_proxied(const std::vector<std::string>& servers, const std::vector<IpAddress>& proxies) {
  for (const std::string& server : servers) {
    for (const IpAddress& ip : proxies) {
      for (std::size_t i = 0; i < ports_.size(); ++i) {
        todo_[i].push_back({{to_asio(ip), proxy_->port}, server, ports_[i], true});
      }
    }
  }
}

void Dialer::use_known() {
  names_are_late_ = true;
  for (const std::string& name : unresolved_) {
    if (const auto before = known_.find(name); before != known_.end()) add(name, interleave(before->second));
  }
  advance();
}

void Dialer::look_again() {
  names_again_.expires_after(kNamesAgain);
  names_again_.async_wait([self = shared_from_this()](ErrorCode e) {
    if (e || self->done_) return;
    for (const std::string& name : self->named_) {
      if (std::ranges::find(self->unresolved_, name) != self->unresolved_.end()) continue;
      self->resolver_.resolve(name, [self, name](Result<std::vector<IpAddress>> found) {
        if (self->done_ || !found) return;
        self->known_[name] = *found;
        self->add(name, interleave(*found));
        self->advance();
      });
    }
    self->look_again();
  });
}

void Dialer::add(const std::string& server, const std::vector<IpAddress>& addresses) {
  for (const IpAddress& ip : addresses) {
    if (std::ranges::find(addresses_, ip) != addresses_.end()) continue;
    addresses_.push_back(ip);
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      todo_[i].push_back({{to_asio(ip), ports_[i].number}, server, ports_[i], false});
    }
  }
}

void Dialer::note(const std::string& failure) {
  failures_ += (failures_.empty() ? "" : "; ") + failure;
}

void Dialer::next_after(Clock::duration pause) {
  next_attempt_.expires_after(pause);
  next_attempt_.async_wait([self = shared_from_this()](ErrorCode e) {
    if (!e) self->advance();
  });
}

void Dialer::hurry() {
  next_after(Clock::duration::zero());
}

// Starts the next attempt, unless one was started a moment ago and is still running.
void Dialer::advance() {
  if (done_ || next_attempt_.expiry() > Clock::now()) return;
  const auto next = std::ranges::find_if(todo_, [](const auto& endpoints) { return !endpoints.empty(); });
  if (next == todo_.end()) {
    // An unanswered name is awaited only if there is no other.
    const bool waits = !unresolved_.empty() && (!names_are_late_ || addresses_.empty());
    if (running_.empty() && !waits) end(failures_);
    return;
  }
  const Target target = std::move(next->front());
  const tcp::endpoint& endpoint = target.endpoint;
  next->pop_front();
  auto socket = std::make_shared<tcp::socket>(io_);
  running_.push_back(socket);
  ErrorCode not_opened;
  socket->open(endpoint.protocol(), not_opened);  // async_connect() tries again and reports the reason
  if (!not_opened) {
    os::mark_underlay(socket->native_handle());
    ErrorCode ignored;
    socket->set_option(MaxSegment(endpoint.protocol() == tcp::v4() ? kMaxSegment4 : kMaxSegment6), ignored);
  }
  next_after(kAttemptDelay);
  socket->async_connect(endpoint, [self = shared_from_this(), socket, target](ErrorCode e) {
    if (self->done_) return;
    if (e) return self->failed(socket, to_string(to_endpoint(target.endpoint)) + ": " + e.message());
    self->on_tcp(socket, target);
  });
}

void Dialer::failed(const Socket& socket, const std::string& why) {
  std::erase(running_, socket);
  // Each of several addresses and ports may fail in the same way.
  if (failures_.find(why) == std::string::npos) note(why);
  hurry();
}

void Dialer::on_tcp(const Socket& socket, const Target& target) {
  next_after(kSilence);
  if (target.proxied) return ask_proxy(socket, target);
  std::erase(running_, socket);
  ErrorCode gone;
  const Endpoint server = to_endpoint(socket->remote_endpoint(gone));
  gone ? hurry() : connected(socket, target, server);
}

void Dialer::connected(const Socket& socket, const Target& target, const Endpoint& server) {
  auto tls = target.port.tls ? Tls::client(parse_ip(target.server) ? "" : target.server) : nullptr;
  handlers_.on_connected(std::move(*socket), server, std::move(tls));
}

void Dialer::ask_proxy(const Socket& socket, const Target& target) {
  const auto request = std::make_shared<std::string>(connect_request(*proxy_, target.server, target.port.number));
  const auto answer = std::make_shared<std::string>();
  const auto on_answer = [self = shared_from_this(), socket, target, answer](ErrorCode e, std::size_t size) {
    if (self->done_) return;
    const std::string name = "the proxy " + self->proxy_->text();
    if (e) return self->failed(socket, name + " gave no answer that ends (" + e.message() + ")");
    // A page follows a refusal.
    const std::string why = connect_failure(*self->proxy_, target.server, target.port.number, *answer);
    if (!why.empty()) return self->failed(socket, why);
    // The server sends nothing before it is spoken to.
    if (size != answer->size()) return self->failed(socket, name + " sent more than an answer");
    self->on_proxied(socket, target);
  };
  asio::async_write(*socket, asio::buffer(*request),
                    [self = shared_from_this(), socket, request, answer, on_answer](ErrorCode e, std::size_t) {
                      if (e) return on_answer(e, 0);
                      asio::async_read_until(*socket, asio::dynamic_buffer(*answer, kMaxProxyAnswer), "\r\n\r\n",
                                             on_answer);
                    });
}

void Dialer::on_proxied(const Socket& socket, const Target& target) {
  std::erase(running_, socket);
  const auto known = known_.find(target.server);
  if (known == known_.end() || known->second.empty()) {
    return connected(socket, target, to_endpoint(target.endpoint));
  }
  for (const IpAddress& ip : known->second) {
    if (std::ranges::find(addresses_, ip) == addresses_.end()) addresses_.push_back(ip);
  }
  next_after(kSilence);
  connected(socket, target, {known->second.front(), target.port.number});
}

void Dialer::stop() {
  done_ = true;
  next_attempt_.cancel();
  names_late_.cancel();
  names_again_.cancel();
  deadline_.cancel();
  ErrorCode ignored;
  for (const auto& socket : running_) socket->close(ignored);
  running_.clear();
}

void Dialer::end(std::string why) {
  if (done_) return;
  stop();
  handlers_.on_dialed_all(std::move(why));
}

}  // namespace eps::runtime
