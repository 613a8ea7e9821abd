// SPDX-License-Identifier: MIT
#include "os/icmp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "os/clock.h"

namespace eps::os {
namespace {

constexpr std::size_t kSize = 64;  // of a request with its ICMP header, as ping sends them

std::uint16_t checksum(ByteView bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_be16(bytes.data() + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

Result<EchoSocket> EchoSocket::open(Ip4 target) {
  // Unprivileged where net.ipv4.ping_group_range allows it, else raw.
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP));
  const bool raw = !fd;
  if (raw) fd.reset(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!fd) return make_error(Errc::permission, "cannot send echo requests: run with sudo", errno);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(target.value);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return make_error(Errc::unavailable, "no way to " + to_string(target) + ": " + std::strerror(errno), errno);
  }
  return EchoSocket(std::move(fd), raw);
}

Result<std::optional<Duration>> EchoSocket::ping(std::uint16_t sequence, std::chrono::milliseconds timeout) {
  const auto id = static_cast<std::uint16_t>(::getpid());
  std::array<std::byte, kSize> request{};
  request[0] = std::byte{ICMP_ECHO};
  store_be16(request.data() + 4, id);
  store_be16(request.data() + 6, sequence);
  store_be16(request.data() + 2, checksum(request));
  const Instant sent = now();
  if (::send(fd_.get(), request.data(), request.size(), 0) < 0) {
    return make_error(Errc::unavailable, std::string("cannot send an echo request: ") + std::strerror(errno), errno);
  }
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(sent + timeout - now());
    pollfd readable{fd_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) {
      return Result<std::optional<Duration>>(std::optional<Duration>());
    }
    std::array<std::byte, 256> answer;
    const ssize_t got = ::recv(fd_.get(), answer.data(), answer.size(), MSG_DONTWAIT);
    const Instant came = now();
    if (got < 0) continue;
    ByteView icmp(answer.data(), static_cast<std::size_t>(got));
    if (raw_) {
      const std::size_t header = (std::to_integer<std::size_t>(icmp[0]) & 15) * 4;
      icmp = icmp.subspan(std::min(header, icmp.size()));
    }
    if (icmp.size() < 8 || icmp[0] != std::byte{ICMP_ECHOREPLY} || load_be16(icmp.data() + 6) != sequence) continue;
    // An unprivileged socket has an id of the kernel's choice, and gets its own answers only.
    if (raw_ && load_be16(icmp.data() + 4) != id) continue;
    return std::optional<Duration>(came - sent);
  }
}

}  // namespace eps::os
