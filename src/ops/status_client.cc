// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ops/status_socket.h"

namespace eps::ops {
namespace {

constexpr std::size_t kMaxAnswerSize = 64 * 1024 * 1024;  // far more than kMaxMembers need

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Error failed(const std::string& path, int error) {
  if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR) {
    return make_error(Errc::not_found, "No daemon answers at " + path, error);
  }
  if (error == EACCES || error == EPERM) {
    return make_error(Errc::permission,
                      "Not allowed to ask the daemon at " + path +
                          "; run with sudo, or become a member of the "
                          "group eps, which has read access: sudo adduser $USER eps",
                      error);
  }
  if (error == ETIMEDOUT || error == EAGAIN) {
    return make_error(Errc::unavailable, "The daemon at " + path + " does not answer in time.", error);
  }
  return make_error(Errc::unavailable, "Cannot ask the daemon at " + path + ": " + std::strerror(error) + ".", error);
}

// Returns 0 or the errno. The receive timeout bounds one read; the daemon itself ends a connection that takes too long.
int exchange(int fd, std::string_view request, std::string& answer) {
  while (!request.empty()) {
    const ssize_t sent = ::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno;
    request.remove_prefix(static_cast<std::size_t>(sent));
  }
  std::array<char, 16384> chunk;
  while (answer.size() < kMaxAnswerSize) {
    const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    answer.append(chunk.data(), static_cast<std::size_t>(got));
    if (answer.back() == '\n') return 0;
  }
  return EMSGSIZE;
}

}  // namespace

Result<nlohmann::json> ask(const std::string& path, const nlohmann::json& request, std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return failed(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());

  const Descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket.fd < 0) return failed(path, errno);
  const timeval limit{static_cast<time_t>(timeout.count() / 1000),
                      static_cast<suseconds_t>(timeout.count() % 1000 * 1000)};
  // The send timeout also bounds connect().
  if (::setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(socket.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(socket.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed(path, errno);
  }
  std::string answer;
  if (const int error = exchange(socket.fd, request.dump() + "\n", answer)) return failed(path, error);
  nlohmann::json json = nlohmann::json::parse(answer, nullptr, false);
  if (answer.empty()) {
    return make_error(Errc::unavailable, "The daemon at " + path + " closed the connection without an answer.");
  }
  if (!json.is_object())
    return make_error(Errc::corrupt, "The daemon at " + path + " gave an answer that is not JSON.");
  // json converts from anything, so the plain return would be ambiguous.
  return Result<nlohmann::json>(boost::system::in_place_value, std::move(json));
}

}  // namespace eps::ops
