#include "runtime/server_link.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "os/underlay_mark.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {
namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

constexpr auto kAttemptDelay = std::chrono::milliseconds(250);  // RFC 8305, section 8
constexpr auto kGiveUpAfter = std::chrono::seconds(15);
// Of the smallest paths that IPv4 and IPv6 know, both ways: the kernel would believe its interface's MTU, and stall for
// ever where larger packets are lost without a word. What the connection carries needs no more.
constexpr int kMaxSegment4 = 536, kMaxSegment6 = 1220;
using MaxSegment = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_MAXSEG>;

// IPv6 and IPv4 in turn, beginning with the resolver's first choice.
std::vector<tcp::endpoint> interleave(const tcp::resolver::results_type& results) {
  std::vector<tcp::endpoint> first, second, out;
  for (const auto& entry : results) {
    const bool same = first.empty() || first.front().protocol() == entry.endpoint().protocol();
    (same ? first : second).push_back(entry.endpoint());
  }
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < second.size()) out.push_back(second[i]);
  }
  return out;
}

// One attempt to reach any of the addresses.
struct Race : std::enable_shared_from_this<Race> {
  explicit Race(asio::io_context& context) : io(context), resolver(context), next_attempt(context), deadline(context) {}

  asio::io_context& io;
  tcp::resolver resolver;
  asio::steady_timer next_attempt;
  asio::steady_timer deadline;
  std::vector<std::uint16_t> ports;
  std::vector<std::vector<tcp::endpoint>> todo;  // for each of the ports
  std::vector<IpAddress> addresses;
  std::vector<std::shared_ptr<tcp::socket>> running;
  int resolving = 0;
  bool done = false;
  std::string failures;
  std::function<void(tcp::socket)> on_won;
  std::function<void(std::string)> on_lost;

  void start(const std::vector<std::string>& servers) {
    todo.resize(ports.size());
    deadline.expires_after(kGiveUpAfter);
    deadline.async_wait([self = shared_from_this()](ErrorCode e) {
      if (!e) self->lose("no answer within 15 seconds");
    });
    for (const std::string& server : servers) resolve(server);
  }

  void add(const asio::ip::address& address) {
    addresses.push_back(to_endpoint({address, 0}).ip);
    for (std::size_t i = 0; i < ports.size(); ++i) todo[i].emplace_back(address, ports[i]);
  }

  void resolve(const std::string& server) {
    ErrorCode not_numeric;
    const auto address = asio::ip::make_address(server, not_numeric);
    if (!not_numeric) {
      add(address);
      asio::post(io, [self = shared_from_this()] { self->advance(); });
      return;
    }
    ++resolving;
    resolver.async_resolve(server, std::to_string(ports.front()), tcp::resolver::numeric_service,
                           [self = shared_from_this(), server](ErrorCode e, tcp::resolver::results_type results) {
                             --self->resolving;
                             if (self->done) return;
                             if (e) {
                               self->note("cannot resolve " + server + ": " + e.message());
                             } else {
                               for (const tcp::endpoint& found : interleave(results)) self->add(found.address());
                             }
                             self->advance();
                           });
  }

  void note(const std::string& failure) { failures += (failures.empty() ? "" : "; ") + failure; }

  // Starts the next attempt, unless one was started less than kAttemptDelay ago and still runs.
  void advance() {
    if (done || next_attempt.expiry() > asio::steady_timer::clock_type::now()) return;
    const auto next = std::ranges::find_if(todo, [](const auto& endpoints) { return !endpoints.empty(); });
    if (next == todo.end()) {
      if (running.empty() && resolving == 0) lose(failures);
      return;
    }
    const tcp::endpoint endpoint = next->front();
    next->erase(next->begin());
    auto socket = std::make_shared<tcp::socket>(io);
    running.push_back(socket);
    ErrorCode not_opened;
    socket->open(endpoint.protocol(), not_opened);  // async_connect() tries again and says why not
    if (!not_opened) os::mark_underlay(socket->native_handle());
    ErrorCode ignored;
    socket->set_option(MaxSegment(endpoint.protocol() == tcp::v4() ? kMaxSegment4 : kMaxSegment6), ignored);
    next_attempt.expires_after(kAttemptDelay);
    next_attempt.async_wait([self = shared_from_this()](ErrorCode e) {
      if (!e) self->advance();
    });
    socket->async_connect(endpoint, [self = shared_from_this(), socket, endpoint](ErrorCode e) {
      if (self->done) return;
      if (!e) return self->win(std::move(*socket));
      std::erase(self->running, socket);
      self->note(to_string(to_endpoint(endpoint)) + ": " + e.message());
      self->next_attempt.expires_at(asio::steady_timer::clock_type::now());
      self->advance();
    });
  }

  void stop() {
    done = true;
    resolver.cancel();
    next_attempt.cancel();
    deadline.cancel();
    ErrorCode ignored;
    for (const auto& socket : running) socket->close(ignored);
    running.clear();
  }
  void win(tcp::socket socket) {
    const auto won = std::move(on_won);
    stop();
    won(std::move(socket));
  }
  void lose(std::string why) {
    const auto lost = std::move(on_lost);
    if (done) return;
    if (!failures.empty() && why != failures) why += " (" + failures + ")";
    stop();
    lost(std::move(why));
  }
};

}  // namespace

struct ServerLink::Impl {
  asio::io_context& io;
  std::vector<std::string> servers;
  Handlers handlers;
  std::shared_ptr<Race> race = nullptr;
  std::shared_ptr<TcpStream> stream = nullptr;
};

void ServerLink::set_servers(std::vector<std::string> servers) {
  impl_->servers = std::move(servers);
}

ServerLink::ServerLink(asio::io_context& io, std::vector<std::string> servers, Handlers handlers)
    : impl_(new Impl{io, std::move(servers), std::move(handlers)}) {}

ServerLink::~ServerLink() {
  close();
}

void ServerLink::connect(std::vector<std::uint16_t> ports) {
  auto race = std::make_shared<Race>(impl_->io);
  race->ports = std::move(ports);
  impl_->race = race;
  race->on_won = [impl = impl_](tcp::socket socket) {
    std::vector<IpAddress> all = std::move(impl->race->addresses);
    impl->race.reset();
    ErrorCode gone;
    const Endpoint server = to_endpoint(socket.remote_endpoint(gone));
    if (gone) return impl->handlers.on_failed(gone.message());
    impl->stream = std::make_shared<TcpStream>(std::move(socket), kMaxBacklog);
    impl->stream->start({[impl](ByteView bytes) { impl->handlers.on_bytes(bytes); },
                         [impl](std::string why) {
                           impl->stream.reset();
                           impl->handlers.on_closed(std::move(why));
                         },
                         [impl] { impl->handlers.on_drained(); }});
    impl->handlers.on_connected(server, std::move(all));
  };
  race->on_lost = [impl = impl_](std::string why) {
    impl->race.reset();
    impl->handlers.on_failed(std::move(why));
  };
  race->start(impl_->servers);
}

void ServerLink::send(Bytes bytes) {
  if (impl_->stream) impl_->stream->send(std::move(bytes));
}

std::size_t ServerLink::backlog() const {
  return impl_->stream ? impl_->stream->backlog() : 0;
}

void ServerLink::close() {
  if (impl_->race) std::exchange(impl_->race, nullptr)->stop();
  if (impl_->stream) std::exchange(impl_->stream, nullptr)->close();
}

}  // namespace eps::runtime
