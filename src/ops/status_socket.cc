// SPDX-License-Identifier: MIT
#include "ops/status_socket.h"

#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ops/accept_loop.h"
#include "ops/background.h"

namespace eps::ops {
namespace {

using boost::asio::local::stream_protocol;
using ErrorCode = boost::system::error_code;

// The group has read access; see allowed().
constexpr mode_t kSocketMode = 0660;
constexpr const char* kGroup = "eps";  // of the packages; where root runs the daemon, its members have read access
constexpr std::array<std::string_view, 6> kForLooking = {"status", "peers", "members", "pairs", "why", "graph"};

// The calling process; nullopt: the kernel does not say.
std::optional<uid_t> asker(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}
// Root and the daemon's own user may do everything, others who can open the socket may only read.
bool is_trusted(std::optional<uid_t> who) {
  return who && (*who == 0 || *who == ::geteuid());
}
bool allowed(const nlohmann::json& request, bool trusted) {
  const auto command = request.find("command");
  if (trusted || command == request.end() || !command->is_string()) return trusted;
  return std::ranges::find(kForLooking, command->get_ref<const std::string&>()) != kForLooking.end();
}

nlohmann::json refusal(const std::string& why) {
  return {{"ok", false}, {"error", why}};
}

StatusSocket::Answer handle(const StatusSocket::Handler& handler, std::string_view line, std::optional<uid_t> who) {
  nlohmann::json request = nlohmann::json::parse(line, nullptr, false);
  if (!request.is_object()) return refusal("the request is not a JSON object");
  request["uid"] = who ? nlohmann::json(*who) : nlohmann::json();
  if (!allowed(request, is_trusted(who))) return refusal("only root may do that; run it with sudo");
  try {
    return handler(request);
  } catch (const nlohmann::json::exception& e) {
    return refusal(std::string("the request has a field of the wrong type: ") + e.what());
  }
}

std::string line_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// An asker who no longer waits has told its user that nothing was done.
bool is_gone(int socket) {
  pollfd look{socket, 0, 0};
  return ::poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR)) != 0;
}

// One connection: reads a line, answers it, closes.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(stream_protocol::socket socket, std::shared_ptr<const StatusSocket::Handler> handler,
             Background& background)
      : socket_(std::move(socket)),
        deadline_(socket_.get_executor()),
        handler_(std::move(handler)),
        background_(background) {}

  void start() {
    deadline_.expires_after(kStatusTimeout);
    deadline_.async_wait([weak = weak_from_this()](ErrorCode e) {
      if (const auto self = weak.lock(); self && !e) self->close();
    });
    boost::asio::async_read_until(
        socket_, boost::asio::dynamic_buffer(in_, kMaxRequestSize), '\n',
        [self = shared_from_this()](ErrorCode e, std::size_t size) { self->on_line(e, size); });
  }
  void close() {
    ErrorCode ignored;
    socket_.close(ignored);
    handler_.reset();
    deadline_.cancel();
  }

 private:
  void on_line(ErrorCode e, std::size_t size) {
    if (!handler_) return;
    if (e == boost::asio::error::not_found) return answer(line_of(refusal("the request is too long")));
    if (e) return close();
    if (is_gone(socket_.native_handle())) return close();
    const auto out = handle(*handler_, std::string_view(in_).substr(0, size - 1), asker(socket_.native_handle()));
    if (const auto* now = std::get_if<nlohmann::json>(&out)) return answer(line_of(*now));
    background_.run([self = shared_from_this(), make = std::get<1>(out)]() -> Background::Done {
      return [self, line = line_of(make())]() mutable {
        if (self->handler_) self->answer(std::move(line));
      };
    });
  }
  void answer(std::string line) {
    out_ = std::move(line);
    boost::asio::async_write(socket_, boost::asio::buffer(out_),
                             [self = shared_from_this()](ErrorCode, std::size_t) { self->close(); });
  }

  stream_protocol::socket socket_;
  boost::asio::steady_timer deadline_;
  std::shared_ptr<const StatusSocket::Handler> handler_;  // null once closed
  Background& background_;
  std::string in_, out_;
};

Error cannot_listen(const std::string& path, int error,
                    const std::string& remedy = "choose another one with --socket") {
  return make_error(error == EACCES || error == EPERM ? Errc::permission : Errc::unavailable,
                    "Cannot listen on the status socket " + path + ": " + std::strerror(error) + "; " + remedy + ".",
                    error);
}

// Removes the socket file of a daemon that is gone.
Result<void> clear_way(boost::asio::io_context& io, const std::string& path, const std::string& program) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return make_error(Errc::in_use, "Cannot listen on the status socket " + path +
                                        ": there is a file that is not a socket; choose another one with --socket.");
  }
  stream_protocol::socket probe(io);
  ErrorCode e;
  probe.connect(stream_protocol::endpoint(path), e);
  if (e == boost::asio::error::connection_refused) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return cannot_listen(path, errno);
    return {};
  }
  if (e && e != boost::asio::error::try_again) return cannot_listen(path, e.value());
  return make_error(Errc::in_use, "Another " + program + " runs with the status socket " + path +
                                      "; stop that one, or give this one its own with --socket and --state.");
}

void make_parent(const std::string& path) {
  namespace fs = std::filesystem;
  const fs::path parent = fs::path(path).parent_path();
  std::error_code e;  // if a directory cannot be made, binding the socket shows it
  if (parent.empty() || !fs::create_directories(parent, e)) return;
  fs::permissions(parent, static_cast<fs::perms>(0755), e);
}

}  // namespace

struct StatusSocket::Impl {
  Impl(boost::asio::io_context& io, Background& beside, std::string at)
      : background(beside), path(std::move(at)), loop(std::make_shared<AcceptLoop<stream_protocol>>(io)) {}
  ~Impl() {
    loop->stop();
    // Another daemon may have replaced it with its own.
    struct stat info {};
    if (file && ::lstat(path.c_str(), &info) == 0 && std::pair(info.st_dev, info.st_ino) == *file) {
      ::unlink(path.c_str());
    }
  }

  Result<void> listen() {
    stream_protocol::acceptor& acceptor = loop->acceptor();
    ErrorCode e;
    acceptor.open(stream_protocol(), e);
    // The unbound socket's mode becomes that of its file, so it is never open to others.
    if (!e && ::fchmod(acceptor.native_handle(), kSocketMode) != 0) return cannot_listen(path, errno);
    if (!e) acceptor.bind(stream_protocol::endpoint(path), e);
    if (e) return cannot_listen(path, e.value());
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) file = {info.st_dev, info.st_ino};
    if (const group* eps = ::geteuid() == 0 ? ::getgrnam(kGroup) : nullptr) {
      (void)!::lchown(path.c_str(), static_cast<uid_t>(-1), eps->gr_gid);
    }
    // The umask removed what the group needs.
    if (::chmod(path.c_str(), kSocketMode) != 0) return cannot_listen(path, errno);
    acceptor.listen(static_cast<int>(kMaxStatusConnections), e);
    if (e) return cannot_listen(path, e.value());
    return {};
  }

  void start(std::shared_ptr<const Handler> handler) {
    loop->start([this, handler = std::move(handler)](stream_protocol::socket socket) {
      if (connections.full()) return;
      const auto connection = std::make_shared<Connection>(std::move(socket), handler, background);
      connections.add(connection);
      connection->start();
    });
  }

  Background& background;
  std::string path;
  std::shared_ptr<AcceptLoop<stream_protocol>> loop;
  Connections<Connection> connections{kMaxStatusConnections};
  std::optional<std::pair<dev_t, ino_t>> file;
};

StatusSocket::StatusSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatusSocket::~StatusSocket() = default;

Result<std::unique_ptr<StatusSocket>> StatusSocket::open(boost::asio::io_context& io, Background& background,
                                                         const std::string& path, const std::string& program) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) return cannot_listen(path, ENAMETOOLONG);
  make_parent(path);
  if (auto clear = clear_way(io, path, program); !clear) return clear.error();
  std::unique_ptr<StatusSocket> socket(new StatusSocket(std::make_unique<Impl>(io, background, path)));
  if (auto listening = socket->impl_->listen(); !listening) return listening.error();
  return socket;
}

void StatusSocket::start(Handler handler) {
  impl_->start(std::make_shared<const Handler>(std::move(handler)));
}

}  // namespace eps::ops
