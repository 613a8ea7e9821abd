// SPDX-License-Identifier: MIT
#include "os/udp.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "os/clock.h"
#include "os/os_rng.h"
#include "os/sys_error.h"
#include "os/udp_socket.h"
#include "os/underlay_mark.h"

namespace eps::os {
namespace {

constexpr std::size_t kRxSlots = 8;
constexpr std::size_t kRxSlotSize = 65536;

bool set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

}  // namespace

struct LinuxUdp::RxPool {
  struct alignas(cmsghdr) Control {
    char bytes[2 * CMSG_SPACE(sizeof(int)) + kPacketInfoSpace + kTrafficClassSpace];
  };
  std::unique_ptr<std::byte[]> data{new std::byte[kRxSlots * kRxSlotSize]};  // not resident until used
  std::array<mmsghdr, kRxSlots> headers{};
  std::array<iovec, kRxSlots> iov{};
  std::array<SocketAddress, kRxSlots> addresses{};
  std::array<Control, kRxSlots> controls{};

  // The kernel overwrites the lengths of what it fills.
  void prepare(std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      iov[i] = {data.get() + i * kRxSlotSize, kRxSlotSize};
      msghdr& header = headers[i].msg_hdr;
      header = {};
      header.msg_name = &addresses[i];
      header.msg_namelen = sizeof(addresses[i]);
      header.msg_iov = &iov[i];
      header.msg_iovlen = 1;
      header.msg_control = controls[i].bytes;
      header.msg_controllen = sizeof(controls[i].bytes);
    }
  }

  // What the kernel reports about a message in addition to its bytes.
  struct Told {
    std::size_t segment_size = 0;           // that it coalesced by; 0 where it did not
    std::optional<std::uint32_t> overruns;  // of the socket until this message came; nothing before the first
    std::optional<LocalAddress> at;         // where it arrived
    std::uint8_t traffic_class = 0;
  };
  Told told(std::size_t i) {
    Told out;
    msghdr& header = headers[i].msg_hdr;
    for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
      if (LocalAddress at; take_packet_info(control, at)) {
        out.at = at;
        continue;
      }
      if (take_traffic_class(control, out.traffic_class)) continue;
      std::uint32_t value = 0;
      if (control->cmsg_len < CMSG_LEN(sizeof(value))) continue;
      std::memcpy(&value, CMSG_DATA(control), sizeof(value));
      if (control->cmsg_level == SOL_UDP && control->cmsg_type == kUdpGro) out.segment_size = value;
      if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) out.overruns = value;
    }
    return out;
  }
};

LinuxUdp::LinuxUdp(UniqueFd fd, std::shared_ptr<Sides> sides, bool first, bool ipv6, const UdpOptions& options)
    : fd_(std::move(fd)),
      sides_(std::move(sides)),
      first_(first),
      ipv6_(ipv6),
      options_(options),
      rx_(std::make_unique<RxPool>()) {}

LinuxUdp::~LinuxUdp() = default;

namespace {

Result<UniqueFd> open_socket(bool ipv6) {
  UniqueFd fd(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return sys_error("cannot open a UDP socket", errno);
  if (ipv6 && !set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0)) {
    return sys_error("cannot make the UDP socket serve IPv4 and IPv6", errno);
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<LinuxUdp>> LinuxUdp::open(const UdpOptions& options) {
  std::uint64_t seed = 0;
  OsRng().fill(std::as_writable_bytes(std::span(&seed, 1)));
  auto sides = std::make_shared<Sides>(seed);
  sides->poll = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!sides->poll) return sys_error("cannot make an epoll instance", errno);
  return open(options, std::move(sides), true);
}

Result<std::unique_ptr<LinuxUdp>> LinuxUdp::add_queue() const {
  UdpOptions options = options_;
  options.port = port_;
  return open(options, sides_, false);
}

Result<std::unique_ptr<LinuxUdp>> LinuxUdp::open(const UdpOptions& options, std::shared_ptr<Sides> sides, bool first) {
  bool ipv6 = true;
  auto fd = open_socket(ipv6);
  // Booted with ipv6.disable=1. (The sysctl disable_ipv6 leaves the family, and IPv4 through it works.)
  if (!fd && fd.error().sys == EAFNOSUPPORT) fd = open_socket(ipv6 = false);
  if (!fd) return fd.error();
  std::unique_ptr<LinuxUdp> udp(new LinuxUdp(std::move(*fd), std::move(sides), first, ipv6, options));
  // Sharing would also allow another program of the same user to bind the port.
  if (first && options.queues && options.port != 0) {
    const auto alone = open_socket(ipv6);
    if (!alone) return alone.error();
    if (const auto free = udp->bind_to(alone->get(), options.port); !free) return free.error();
  }
  if (options.queues && !set_option(udp->fd(), SOL_SOCKET, SO_REUSEPORT, 1)) {
    return sys_error("cannot share a UDP port among threads", errno);
  }
  udp->gso_ = options.gso && set_option(udp->fd(), SOL_UDP, kUdpSegment, 0);
  udp->tune(udp->fd(), options);
  set_option(udp->fd(), SOL_SOCKET, SO_RXQ_OVFL, 1);
  const auto port = udp->bind_to(udp->fd(), options.port);
  if (!port) return port.error();
  udp->port_ = *port;
  return udp;
}

// What fails here costs speed, or is said by gro() and marked().
void LinuxUdp::tune(int fd, const UdpOptions& options) {
  // The sysctl's ceiling applies without CAP_NET_ADMIN.
  if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer)) {
    set_option(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
  }
  if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer)) set_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  dont_fragment(fd, false);
  gro_ = options.gro && set_option(fd, SOL_UDP, kUdpGro, 1);
  ipv6_ ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
  if (ipv6_) set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  marked_ = mark_underlay(fd);
}

bool LinuxUdp::Sides::is_inside(std::uint32_t interface) const {
  return std::ranges::any_of(inside, [&](const auto& i) { return i.load(std::memory_order_relaxed) == interface; });
}

bool LinuxUdp::Sides::is_uplink(std::uint32_t interface) const {
  return std::ranges::any_of(uplinks, [&](const auto& i) { return i.load(std::memory_order_relaxed) == interface; });
}

void LinuxUdp::set_interfaces(const Interfaces& interfaces) {
  for (std::size_t i = 0; i < kMaxInside; ++i) {
    const auto at = [i](const std::vector<std::uint32_t>& all) { return i < all.size() ? all[i] : 0; };
    sides_->inside[i].store(at(interfaces.inside), std::memory_order_relaxed);
    sides_->uplinks[i].store(at(interfaces.uplinks), std::memory_order_relaxed);
  }
}

// By default DF is clear: a datagram too large for the path arrives in fragments instead of never. Over IPv4, where
// routers do that, nothing but the device's own MTU counts (OMIT), as anybody can forge an ICMP message; over IPv6 only
// the sender fragments, and has to know when. With `on` the device's MTU is all that can refuse a datagram (PROBE).
void LinuxUdp::dont_fragment(int fd, bool on) const {
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_OMIT);
  if (ipv6_) set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, on ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
}

Result<std::uint16_t> LinuxUdp::bind_to(int fd, std::uint16_t port) {
  SocketAddress address;
  socklen_t size = to_sockaddr({ipv6_ ? IpAddress{} : IpAddress::from_v4({0}), port}, ipv6_, address);
  if (::bind(fd, &address.any, size) != 0) {
    const char* const remedy = errno == EADDRINUSE ? "another program uses it: stop it, or choose another port"
                               : errno == EACCES   ? "a port below 1024 needs CAP_NET_BIND_SERVICE: choose another port"
                                                   : "";
    return sys_error("cannot bind UDP port " + std::to_string(port), errno, remedy);
  }
  size = sizeof(address);
  if (::getsockname(fd, &address.any, &size) != 0) return sys_error("cannot read the UDP port", errno);
  return to_endpoint(address).port;
}

std::size_t LinuxUdp::receive(std::span<ports::RxDatagram> out) {
  const std::size_t room = std::min(out.size(), kRxSlots);
  // Half of the room at most, and before the main socket: neither kind starves the other.
  const std::size_t count =
      !first_ || sides_->count.load(std::memory_order_relaxed) == 0 ? 0 : receive_from_sides(out.first(room / 2));
  const std::size_t main = receive_from(fd_.get(), 0, out.subspan(count, room - count), count);
  drained_ = main < room - count;
  return count + main;
}

std::uint64_t LinuxUdp::take_overruns() {
  return overruns_ - std::exchange(told_overruns_, overruns_);
}

std::uint64_t LinuxUdp::take_looped() {
  if (sides_->looped.load(std::memory_order_relaxed) == 0) return 0;
  return sides_->looped.exchange(0, std::memory_order_relaxed);
}

std::size_t LinuxUdp::receive_from_sides(std::span<ports::RxDatagram> out) {
  std::array<epoll_event, kRxSlots> ready;
  const Lock lock(sides_->mutex);
  const int n = ::epoll_wait(sides_->poll.get(), ready.data(), static_cast<int>(ready.size()), 0);
  std::size_t count = 0;
  for (int i = 0; i < n && count < out.size(); ++i) {
    const auto socket = static_cast<ports::SocketId>(ready[static_cast<std::size_t>(i)].data.u32);
    count += receive_from(sides_->fds.at(socket).get(), socket, out.subspan(count), count);
  }
  return count;
}

// Fills `out` with the buffers from `first_slot` on.
std::size_t LinuxUdp::receive_from(int fd, ports::SocketId socket, std::span<ports::RxDatagram> out,
                                   std::size_t first_slot) {
  rx_->prepare(first_slot, out.size());
  int got;
  do {
    got = ::recvmmsg(fd, rx_->headers.data() + first_slot, static_cast<unsigned>(out.size()), MSG_DONTWAIT, nullptr);
  } while (got < 0 && errno == EINTR);
  std::size_t count = 0;
  const Instant when = got > 0 ? now() : Instant{};
  for (std::size_t i = first_slot; got > 0 && i < first_slot + static_cast<std::size_t>(got); ++i) {
    const std::size_t size = rx_->headers[i].msg_len;
    // Skip empty datagrams. Truncation would take a datagram longer than UDP allows.
    if (size == 0 || (rx_->headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
    const RxPool::Told told = rx_->told(i);
    if (told.overruns) overruns_ = *told.overruns;
    const Endpoint from = to_endpoint(rx_->addresses[i]);
    if (told.at) {
      if (told.at->interface != 0 && sides_->is_inside(told.at->interface)) {
        sides_->looped.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      sides_->replies.heard(from, *told.at, when);
    }
    const std::size_t cut = told.segment_size == 0 ? size : std::min(told.segment_size, size);
    const ByteSpan bytes{rx_->data.get() + i * kRxSlotSize, size};
    out[count++] = {from, bytes, static_cast<std::uint16_t>(cut), socket, told.traffic_class};
  }
  return count;
}

std::optional<ports::UdpPort::Side> LinuxUdp::open_side() {
  auto fd = open_socket(ipv6_);
  if (!fd) return std::nullopt;
  tune(fd->get(), options_);
  const auto port = bind_to(fd->get(), 0);
  if (!port) return std::nullopt;
  const Lock lock(sides_->mutex);
  if (sides_->fds.size() >= ports::kMaxSideSockets) return std::nullopt;
  ports::SocketId id = 1;
  while (sides_->fds.contains(id)) ++id;
  epoll_event event{.events = EPOLLIN, .data = {.u32 = id}};
  if (::epoll_ctl(sides_->poll.get(), EPOLL_CTL_ADD, fd->get(), &event) != 0) return std::nullopt;
  sides_->fds.emplace(id, std::move(*fd));
  sides_->count.store(sides_->fds.size(), std::memory_order_relaxed);
  return Side{id, *port};
}

void LinuxUdp::close_side(ports::SocketId socket) {
  const Lock lock(sides_->mutex);
  sides_->fds.erase(socket);
  sides_->count.store(sides_->fds.size(), std::memory_order_relaxed);
}

}  // namespace eps::os
