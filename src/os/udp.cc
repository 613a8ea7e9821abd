#include "os/udp.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "os/clock.h"
#include "os/sys_error.h"

namespace eps::os {
namespace {

// Linux 4.18 and 5.0; not in every libc's headers.
constexpr int kUdpSegment = 103, kUdpGro = 104;

// Receiving outlives our absence for a scheduling round at full speed; sending must not hide congestion in a queue.
constexpr int kReceiveBuffer = 4 << 20;
constexpr int kSendBuffer = 384 << 10;        // the kernel doubles it
constexpr std::size_t kBulkRoom = 512 << 10;  // of it; the rest is for what keeps conduits up, and for one more batch
constexpr std::size_t kPerPacket = 1024;      // what the kernel counts for a datagram besides its bytes, at most

constexpr std::size_t kRxSlots = 8;
constexpr std::size_t kRxSlotSize = 65536;
constexpr std::size_t kTxBatch = 32;              // messages of one sendmmsg
constexpr std::size_t kTxBatchBytes = 128 << 10;  // after which it is full

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

socklen_t to_sockaddr(const Endpoint& endpoint, bool ipv6, SocketAddress& out) {
  out = {};
  if (ipv6) {
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(endpoint.port);
    std::memcpy(&out.v6.sin6_addr, endpoint.ip.bytes.data(), 16);
    return sizeof(out.v6);
  }
  out.v4.sin_family = AF_INET;
  out.v4.sin_port = htons(endpoint.port);
  std::memcpy(&out.v4.sin_addr, endpoint.ip.bytes.data() + 12, 4);
  return sizeof(out.v4);
}

Endpoint to_endpoint(const SocketAddress& address) {
  Endpoint endpoint;
  if (address.any.sa_family == AF_INET6) {
    std::memcpy(endpoint.ip.bytes.data(), &address.v6.sin6_addr, 16);
    endpoint.port = ntohs(address.v6.sin6_port);
  } else {
    endpoint.ip = IpAddress::from_v4({ntohl(address.v4.sin_addr.s_addr)});
    endpoint.port = ntohs(address.v4.sin_port);
  }
  return endpoint;
}

bool set_option(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

// One message for the kernel: a datagram, or a run of segments for GSO.
struct Message {
  std::size_t owner = 0;  // index of the TxDatagram that it is a part of
  const Endpoint* to = nullptr;
  ByteView bytes;
  std::uint16_t segment_size = 0;  // 0: one datagram
};

// Cuts TxDatagrams into messages that the kernel takes, in order.
class Cutter {
 public:
  Cutter(std::span<const ports::TxDatagram> datagrams, bool gso, GsoMemory& no_gso)
      : datagrams_(datagrams), gso_(gso), no_gso_(no_gso) {}

  bool next(Message& out) {
    while (index_ < datagrams_.size()) {
      const ports::TxDatagram& datagram = datagrams_[index_];
      if (offset_ == 0) step_ = step_of(datagram);
      const std::size_t size = std::min(step_, datagram.bytes.size() - offset_);
      const bool run = datagram.segment_size != 0 && size > datagram.segment_size;
      out = {index_, &datagram.to, datagram.bytes.subspan(offset_, size),
             run ? datagram.segment_size : std::uint16_t{0}};
      offset_ += size;
      if (offset_ >= datagram.bytes.size()) {
        offset_ = 0;
        ++index_;
      }
      if (size > 0) return true;  // there are no empty datagrams here
    }
    return false;
  }

 private:
  // How many bytes one message takes: as many segments as the kernel allows in one, or one.
  std::size_t step_of(const ports::TxDatagram& datagram) const {
    const std::size_t segment = datagram.segment_size;
    if (segment == 0 || datagram.bytes.size() <= segment) return datagram.bytes.size();
    const bool gso = gso_ && (no_gso_.empty() || no_gso_.allows(datagram.to.ip, datagram.segment_size, now()));
    return gso ? std::max<std::size_t>(1, std::min(ports::kMaxSegments, ports::kMaxUdpPayload / segment)) * segment
               : segment;
  }

  std::span<const ports::TxDatagram> datagrams_;
  const bool gso_;
  GsoMemory& no_gso_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
  std::size_t step_ = 0;
};

// Messages and what sendmmsg wants to know of them.
class TxBatch {
 public:
  bool full() const { return size_ == kTxBatch || weight_ >= kTxBatchBytes; }
  bool empty() const { return size_ == 0; }
  const Message& first() const { return messages_[0]; }

  void add(const Message& message, bool ipv6) {
    const std::size_t i = size_++;
    const std::size_t segment = message.segment_size == 0 ? message.bytes.size() : message.segment_size;
    weight_ += message.bytes.size() + message.bytes.size() / segment * kPerPacket;
    messages_[i] = message;
    iov_[i] = {const_cast<std::byte*>(message.bytes.data()), message.bytes.size()};
    msghdr& header = headers_[i].msg_hdr;
    header = {};
    header.msg_namelen = to_sockaddr(*message.to, ipv6, addresses_[i]);
    header.msg_name = &addresses_[i];
    header.msg_iov = &iov_[i];
    header.msg_iovlen = 1;
    if (message.segment_size == 0) return;
    header.msg_control = controls_[i].bytes;
    header.msg_controllen = sizeof(controls_[i].bytes);
    cmsghdr* const control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_UDP;
    control->cmsg_type = kUdpSegment;
    control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    std::memcpy(CMSG_DATA(control), &message.segment_size, sizeof(std::uint16_t));
  }

  // Sends all and is empty again. Each message that the kernel does not take goes to `failed(message, errno)`, which
  // returns whether to go on; false if it did not.
  template <class Failed>
  bool flush(int fd, Failed&& failed) {
    for (std::size_t done = 0; done < size_;) {
      const int sent = ::sendmmsg(fd, &headers_[done], static_cast<unsigned>(size_ - done), MSG_DONTWAIT);
      if (sent > 0) {
        done += static_cast<std::size_t>(sent);
        // An ICMP error that an earlier datagram brought back belongs to nobody here: the next call is clear of it.
      } else if (errno != EINTR && errno != ECONNREFUSED && !failed(messages_[done++], errno)) {
        return false;
      }
    }
    size_ = weight_ = 0;
    return true;
  }

 private:
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(std::uint16_t))];
  };
  std::size_t size_ = 0;
  std::size_t weight_ = 0;  // of all messages in the socket's send buffer
  std::array<Message, kTxBatch> messages_;
  std::array<mmsghdr, kTxBatch> headers_;
  std::array<iovec, kTxBatch> iov_;
  std::array<SocketAddress, kTxBatch> addresses_;
  std::array<Control, kTxBatch> controls_;
};

// The kernel refuses to segment here, where it would take the segments one by one: the route's MTU is smaller than a
// segment (EINVAL, EMSGSIZE in newer kernels), or its device computes no checksums (EIO).
bool refuses_segments(int error) {
  return error == EMSGSIZE || error == EINVAL || error == EIO;
}

// What lies in the socket's send buffer, because the device is slower than we are.
std::size_t unsent(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

// The socket itself is full, so the rest need not be tried.
bool is_full(int error) {
  return error == EAGAIN || error == ENOMEM;
}

}  // namespace

struct LinuxUdp::RxPool {
  struct alignas(cmsghdr) Control {
    char bytes[2 * CMSG_SPACE(sizeof(int))];
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

  // What the kernel says of a message besides its bytes.
  struct Told {
    std::size_t segment_size = 0;           // that it coalesced by; 0 where it did not
    std::optional<std::uint32_t> overruns;  // of the socket until this message came; nothing before the first
  };
  Told told(std::size_t i) {
    Told out;
    msghdr& header = headers[i].msg_hdr;
    for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
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
  auto sides = std::make_shared<Sides>();
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

// Whatever fails here costs speed only.
void LinuxUdp::tune(int fd, const UdpOptions& options) {
  // The sysctl's ceiling applies without CAP_NET_ADMIN.
  if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer)) {
    set_option(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
  }
  if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer)) set_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  // DF stays clear: a datagram too large for the path arrives in fragments instead of never.
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  if (ipv6_) set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
  gro_ = options.gro && set_option(fd, SOL_UDP, kUdpGro, 1);
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

std::size_t LinuxUdp::receive_from_sides(std::span<ports::RxDatagram> out) {
  std::array<epoll_event, kRxSlots> ready;
  const std::lock_guard lock(sides_->mutex);
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
  for (std::size_t i = first_slot; got > 0 && i < first_slot + static_cast<std::size_t>(got); ++i) {
    const std::size_t size = rx_->headers[i].msg_len;
    // Empty datagrams are nobody's; one cut short (longer than UDP allows) does not happen.
    if (size == 0 || (rx_->headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;
    const RxPool::Told told = rx_->told(i);
    if (told.overruns) overruns_ = *told.overruns;
    const std::size_t cut = told.segment_size == 0 ? size : std::min(told.segment_size, size);
    const ByteSpan bytes{rx_->data.get() + i * kRxSlotSize, size};
    out[count++] = {to_endpoint(rx_->addresses[i]), bytes, static_cast<std::uint16_t>(cut), socket};
  }
  return count;
}

std::optional<ports::UdpPort::Side> LinuxUdp::open_side() {
  auto fd = open_socket(ipv6_);
  if (!fd) return std::nullopt;
  tune(fd->get(), options_);
  const auto port = bind_to(fd->get(), 0);
  if (!port) return std::nullopt;
  const std::lock_guard lock(sides_->mutex);
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
  const std::lock_guard lock(sides_->mutex);
  sides_->fds.erase(socket);
  sides_->count.store(sides_->fds.size(), std::memory_order_relaxed);
}

std::size_t LinuxUdp::send(std::span<const ports::TxDatagram> datagrams) {
  std::size_t taken = 0;
  while (!datagrams.empty()) {
    const ports::SocketId socket = datagrams.front().socket;
    const auto other = std::ranges::find_if(datagrams, [&](const auto& d) { return d.socket != socket; });
    const auto run = datagrams.first(static_cast<std::size_t>(other - datagrams.begin()));
    datagrams = datagrams.subspan(run.size());
    if (socket == 0) {
      taken += send_by(fd_.get(), run);
    } else {
      const std::lock_guard lock(sides_->mutex);
      const auto side = sides_->fds.find(socket);
      if (side != sides_->fds.end()) taken += send_by(side->second.get(), run);
    }
  }
  return taken;
}

std::size_t LinuxUdp::send_by(int fd, std::span<const ports::TxDatagram> datagrams) {
  Cutter cutter(datagrams, gso_, no_gso_);
  std::size_t lost = 0;
  std::size_t last_lost = datagrams.size();  // counts a datagram once however many of its messages are lost
  const auto lose = [&](std::size_t owner) {
    if (owner != last_lost) ++lost;
    last_lost = owner;
  };
  bool full = false;
  const auto failed = [&](const Message& message, int error) {
    full = is_full(error);
    const bool retry = message.segment_size != 0 && refuses_segments(error);
    if (!retry || !send_segments(fd, *message.to, message.bytes, message.segment_size, full)) lose(message.owner);
    return !full;
  };

  TxBatch batch;
  const auto flush = [&] {
    if (datagrams.front().bulk && unsent(fd) > kBulkRoom) return failed(batch.first(), EAGAIN);
    return batch.flush(fd, failed);
  };
  for (Message message; cutter.next(message);) {
    if (!ipv6_ && !message.to->ip.is_v4()) {
      lose(message.owner);  // an IPv4 socket reaches no IPv6 address
      continue;
    }
    batch.add(message, ipv6_);
    if (batch.full() && !flush()) break;
  }
  if (!full && !batch.empty()) flush();
  // A full socket loses the datagram that met it, which is counted, and all after it, which are not.
  return full ? last_lost + 1 - lost : datagrams.size() - lost;
}

// A run that the kernel will not segment: each segment is a datagram of its own, which it fragments where it must.
// True if it took all. Sets `full` like send().
bool LinuxUdp::send_segments(int fd, const Endpoint& to, ByteView bytes, std::uint16_t segment_size, bool& full) {
  std::size_t lost = 0;
  const auto failed = [&](const Message&, int error) {
    full = is_full(error);
    ++lost;
    return !full;
  };
  TxBatch batch;
  std::size_t count = 0;
  for (; !bytes.empty() && !full; ++count) {
    const ByteView segment = bytes.first(std::min<std::size_t>(segment_size, bytes.size()));
    bytes = bytes.subspan(segment.size());
    batch.add({0, &to, segment, 0}, ipv6_);
    if (batch.full() || bytes.empty()) batch.flush(fd, failed);
  }
  // Where nothing passes, segmentation was not what was wrong.
  if (count > lost) no_gso_.failed(to.ip, segment_size, now());
  return lost == 0;
}

}  // namespace eps::os
