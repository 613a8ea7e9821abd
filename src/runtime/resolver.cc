// SPDX-License-Identifier: MIT
#include "runtime/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "runtime/tcp_stream.h"

namespace eps::runtime {
namespace {

using OnAnswer = std::function<void(Result<std::vector<IpAddress>>)>;

// Some name servers never answer for AAAA (RFC 4074), and the C library then fails for A as well.
constexpr auto kIp4AloneAfter = std::chrono::milliseconds(500);

Result<std::vector<IpAddress>> look_up(const std::string& name, int family) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* list) {
    if (list != nullptr) ::freeaddrinfo(list);
  });
  if (error != 0) return make_error(Errc::not_found, ::gai_strerror(error));
  std::vector<IpAddress> out;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    boost::asio::ip::tcp::endpoint endpoint;
    if (at->ai_addrlen > endpoint.capacity()) continue;
    std::copy_n(reinterpret_cast<const std::byte*>(at->ai_addr), at->ai_addrlen,
                reinterpret_cast<std::byte*>(endpoint.data()));
    const IpAddress ip = to_endpoint(endpoint).ip;
    if (std::ranges::find(out, ip) == out.end()) out.push_back(ip);
  }
  if (out.empty()) return make_error(Errc::not_found, "it has no address");
  return out;
}

}  // namespace

struct Resolver::Shared {
  Mutex mutex;
  boost::asio::io_context* io EPS_GUARDED_BY(mutex) = nullptr;  // null: nobody is waiting any more
  // Per name: who waits for an answer, and how many threads are looking it up.
  struct Name {
    std::vector<OnAnswer> waiting;
    int threads = 0;
  };
  std::map<std::string, Name> names EPS_GUARDED_BY(mutex);

  // Throws std::system_error if there can be no further thread.
  static void start(const std::shared_ptr<Shared>& shared, const std::string& name, int family);
  // The first answer is for everybody: later requests would get the same.
  void answer(Name& of, Result<std::vector<IpAddress>> found) EPS_REQUIRES(mutex) {
    boost::asio::post(*io, [waiting = std::exchange(of.waiting, {}), found = std::move(found)] {
      for (const OnAnswer& tell : waiting) tell(found);
    });
  }
};

void Resolver::Shared::start(const std::shared_ptr<Shared>& shared, const std::string& name, int family) {
  std::thread([shared, name, family] {
    auto found = look_up(name, family);
    const Lock ended(shared->mutex);
    if (shared->io == nullptr) return;
    Shared::Name& of = shared->names[name];
    if (family == AF_UNSPEC) --of.threads;
    if (found || family == AF_UNSPEC) shared->answer(of, std::move(found));
  }).detach();
}

Resolver::Resolver(boost::asio::io_context& io) : shared_(std::make_shared<Shared>()) {
  const Lock lock(shared_->mutex);
  shared_->io = &io;
}

Resolver::~Resolver() {
  const Lock lock(shared_->mutex);
  shared_->io = nullptr;
  shared_->names.clear();
}

void Resolver::resolve(const std::string& name, OnAnswer on_answer) {
  const Lock lock(shared_->mutex);
  Shared::Name& wanted = shared_->names[name];
  wanted.waiting.push_back(std::move(on_answer));
  if (wanted.threads >= kMaxThreadsPerName) return;
  try {
    Shared::start(shared_, name, AF_UNSPEC);
    ++wanted.threads;
  } catch (const std::system_error& e) {
    if (wanted.threads == 0) shared_->answer(wanted, make_error(Errc::exhausted, e.what()));
    return;
  }
  const auto timer = std::make_shared<boost::asio::steady_timer>(*shared_->io, kIp4AloneAfter);
  timer->async_wait([timer, shared = shared_, name](const auto&) {
    const Lock late(shared->mutex);
    if (shared->io == nullptr || shared->names[name].waiting.empty()) return;
    try {
      Shared::start(shared, name, AF_INET);
    } catch (const std::system_error&) {  // then the answer for both families has to do
    }
  });
}

}  // namespace eps::runtime
