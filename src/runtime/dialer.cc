#include "runtime/dialer.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "os/underlay_mark.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {
namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

namespace {

constexpr auto kAttemptDelay = std::chrono::milliseconds(250);  // RFC 8305, section 8
// Who took the connection is to answer: a server does so within a round trip.
constexpr auto kSilence = std::chrono::seconds(1);
constexpr auto kGiveUpAfter = std::chrono::seconds(15);
// A name that has not been answered by then is dialed where it was before, and holds up no round of other names.
constexpr auto kNamesLate = std::chrono::seconds(1);
// Of the smallest paths that IPv4 and IPv6 know, both ways: the kernel would believe its interface's MTU, and stall for
// ever where larger packets are lost without a word. What the connection carries needs no more.
constexpr int kMaxSegment4 = 536, kMaxSegment6 = 1220;
using MaxSegment = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_MAXSEG>;

// IPv6 and IPv4 in turn, beginning with the first choice.
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

Dialer::Dialer(asio::io_context& io, Resolver& resolver, KnownAddresses& known, std::vector<std::uint16_t> ports,
               Handlers handlers)
    : io_(io),
      resolver_(resolver),
      known_(known),
      ports_(std::move(ports)),
      handlers_(std::move(handlers)),
      next_attempt_(io),
      names_late_(io),
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
  for (const std::string& server : servers) resolve(server);
  asio::post(io_, [self = shared_from_this()] { self->advance(); });
}

void Dialer::resolve(const std::string& server) {
  if (const auto numeric = parse_ip(server)) return add({*numeric});
  unresolved_.push_back(server);
  resolver_.resolve(server, [self = shared_from_this(), server](Result<std::vector<IpAddress>> found) {
    if (self->done_) return;
    std::erase(self->unresolved_, server);
    if (found) {
      self->known_[server] = *found;
      self->add(interleave(*found));
    } else {
      self->note("cannot resolve " + server + ": " + found.error().what);
      if (const auto before = self->known_.find(server); before != self->known_.end()) self->add(before->second);
    }
    self->advance();
  });
}

void Dialer::use_known() {
  names_are_late_ = true;
  for (const std::string& name : unresolved_) {
    if (const auto before = known_.find(name); before != known_.end()) add(interleave(before->second));
  }
  advance();
}

void Dialer::add(const std::vector<IpAddress>& addresses) {
  for (const IpAddress& ip : addresses) {
    if (std::ranges::find(addresses_, ip) != addresses_.end()) continue;
    addresses_.push_back(ip);
    for (std::size_t i = 0; i < ports_.size(); ++i) todo_[i].emplace_back(to_asio(ip), ports_[i]);
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

// Starts the next attempt, unless one was started a moment ago and still runs.
void Dialer::advance() {
  if (done_ || next_attempt_.expiry() > Clock::now()) return;
  const auto next = std::ranges::find_if(todo_, [](const auto& endpoints) { return !endpoints.empty(); });
  if (next == todo_.end()) {
    // A name that nobody answers for is waited for only where there is no other.
    const bool waits = !unresolved_.empty() && (!names_are_late_ || addresses_.empty());
    if (running_.empty() && !waits) end(failures_);
    return;
  }
  const tcp::endpoint endpoint = next->front();
  next->pop_front();
  auto socket = std::make_shared<tcp::socket>(io_);
  running_.push_back(socket);
  ErrorCode not_opened;
  socket->open(endpoint.protocol(), not_opened);  // async_connect() tries again and says why not
  if (!not_opened) {
    os::mark_underlay(socket->native_handle());
    ErrorCode ignored;
    socket->set_option(MaxSegment(endpoint.protocol() == tcp::v4() ? kMaxSegment4 : kMaxSegment6), ignored);
  }
  next_after(kAttemptDelay);
  socket->async_connect(endpoint, [self = shared_from_this(), socket, endpoint](ErrorCode e) {
    if (self->done_) return;
    std::erase(self->running_, socket);
    if (e) {
      self->note(to_string(to_endpoint(endpoint)) + ": " + e.message());
      return self->hurry();
    }
    self->next_after(kSilence);
    self->handlers_.on_connected(std::move(*socket));
  });
}

void Dialer::stop() {
  done_ = true;
  next_attempt_.cancel();
  names_late_.cancel();
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
