// SPDX-License-Identifier: MIT

// The way out of os::LinuxUdp: runs are cut into messages that the kernel takes, messages leave in batches, and where
// the kernel will not segment the segments go one by one.

#include <linux/sockios.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "os/clock.h"
#include "os/udp.h"
#include "os/udp_socket.h"

namespace eps::os {
namespace {

constexpr std::size_t kPerPacket = 1024;          // the most that the kernel charges for a datagram on top of its bytes
constexpr std::size_t kTxBatch = 32;              // messages of one sendmmsg
constexpr std::size_t kTxBatchBytes = 128 << 10;  // after which it is full

}  // namespace

// One message for the kernel: a datagram, or a run of segments for GSO.
struct LinuxUdp::Message {
  std::size_t owner = 0;  // index of the TxDatagram that it is a part of
  const Endpoint* to = nullptr;
  ByteView bytes;
  std::uint16_t segment_size = 0;  // 0: one datagram
  std::uint8_t traffic_class = 0;
  std::optional<LocalAddress> from = std::nullopt;  // nullopt: as the kernel chooses
};

namespace {

// Cuts TxDatagrams into messages that the kernel takes, in order.
class Cutter {
 public:
  Cutter(std::span<const ports::TxDatagram> datagrams, bool gso, GsoMemory& no_gso)
      : datagrams_(datagrams), gso_(gso), no_gso_(no_gso) {}

  template <class Message>
  bool next(Message& out) {
    while (index_ < datagrams_.size()) {
      const ports::TxDatagram& datagram = datagrams_[index_];
      if (offset_ == 0) step_ = step_of(datagram);
      const std::size_t size = std::min(step_, datagram.bytes.size() - offset_);
      const bool run = datagram.segment_size != 0 && size > datagram.segment_size;
      out = {index_,
             &datagram.to,
             datagram.bytes.subspan(offset_, size),
             run ? datagram.segment_size : std::uint16_t{0},
             datagram.traffic_class,
             std::nullopt};
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

}  // namespace

// Messages and what sendmmsg wants to know of them.
class LinuxUdp::TxBatch {
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
    char* const controls = controls_[i].bytes;
    std::size_t used = 0;
    if (message.from) used += put_packet_info(reinterpret_cast<cmsghdr*>(controls), *message.from, ipv6);
    if (message.traffic_class != 0) {
      auto* const control = reinterpret_cast<cmsghdr*>(controls + used);
      used += put_traffic_class(control, message.traffic_class, message.to->ip.is_v4());
    }
    if (message.segment_size != 0) {
      auto* const control = reinterpret_cast<cmsghdr*>(controls + used);
      control->cmsg_level = SOL_UDP;
      control->cmsg_type = kUdpSegment;
      control->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      std::memcpy(CMSG_DATA(control), &message.segment_size, sizeof(std::uint16_t));
      used += CMSG_SPACE(sizeof(std::uint16_t));
    }
    header.msg_control = used > 0 ? controls : nullptr;
    header.msg_controllen = used;
  }

  // Sends everything and is empty again. Each message that the kernel rejects is passed to `failed(message, errno)`,
  // which returns whether to go on; false if it did not.
  template <class Failed>
  bool flush(int fd, Failed&& failed) {
    for (std::size_t done = 0; done < size_;) {
      const int sent = ::sendmmsg(fd, &headers_[done], static_cast<unsigned>(size_ - done), MSG_DONTWAIT);
      if (sent > 0) {
        done += static_cast<std::size_t>(sent);
        // This is the ICMP error of an earlier datagram, and reading it clears it: the next call will not see it.
      } else if (errno != EINTR && errno != ECONNREFUSED && !failed(messages_[done++], errno)) {
        return false;
      }
    }
    size_ = weight_ = 0;
    return true;
  }

 private:
  struct alignas(cmsghdr) Control {
    char bytes[kPacketInfoSpace + kTrafficClassSpace + CMSG_SPACE(sizeof(std::uint16_t))];
  };
  std::size_t size_ = 0;
  std::size_t weight_ = 0;  // of all messages in the socket's send buffer
  std::array<Message, kTxBatch> messages_;
  std::array<mmsghdr, kTxBatch> headers_;
  std::array<iovec, kTxBatch> iov_;
  std::array<SocketAddress, kTxBatch> addresses_;
  std::array<Control, kTxBatch> controls_;
};

namespace {

// The kernel refuses to segment here, but would take the segments one by one: the route's MTU is smaller than a segment
// (EINVAL, EMSGSIZE in newer kernels), or its device computes no checksums (EIO).
bool refuses_segments(int error) {
  return error == EMSGSIZE || error == EINVAL || error == EIO;
}

// Bytes in the socket's send buffer, waiting for a device that is slower than we are.
std::size_t unsent(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

// The socket itself is full, so the rest need not be tried.
bool is_full(int error) {
  return error == EAGAIN || error == ENOMEM;
}

// No way leads there (EINVAL: a blackhole route), or a firewall of this computer forbids it: lost as on any network,
// and no sign of a full queue.
bool has_no_way(int error) {
  return error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN || error == EADDRNOTAVAIL ||
         error == EPERM || error == EACCES || error == EINVAL;
}

}  // namespace

std::size_t LinuxUdp::send(std::span<const ports::TxDatagram> datagrams) {
  std::size_t taken = 0;
  while (!datagrams.empty()) {
    const ports::SocketId socket = datagrams.front().socket;
    const bool whole = datagrams.front().whole;
    const auto other =
        std::ranges::find_if(datagrams, [&](const auto& d) { return d.socket != socket || d.whole != whole; });
    const auto run = datagrams.first(static_cast<std::size_t>(other - datagrams.begin()));
    datagrams = datagrams.subspan(run.size());
    if (socket == 0) {
      taken += send_by(fd_.get(), run);
    } else {
      const Lock lock(sides_->mutex);
      const auto side = sides_->fds.find(socket);
      if (side != sides_->fds.end()) taken += send_by(side->second.get(), run);
    }
  }
  return taken;
}

std::size_t LinuxUdp::send_by(int fd, std::span<const ports::TxDatagram> datagrams) {
  // The option is the socket's, not the datagram's: what another thread sends meanwhile is not fragmented either.
  if (!datagrams.front().whole) return send_as_set(fd, datagrams);
  dont_fragment(fd, true);
  send_as_set(fd, datagrams);
  dont_fragment(fd, false);
  return datagrams.size();  // a datagram that does not fit is an answer, not a loss
}

std::size_t LinuxUdp::send_as_set(int fd, std::span<const ports::TxDatagram> datagrams) {
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
    if (full || (!send_again(fd, message, error, full) && !has_no_way(error))) lose(message.owner);
    return !full;
  };

  TxBatch batch;
  const auto flush = [&] {
    if (datagrams.front().bulk && unsent(fd) > kBulkRoom) return failed(batch.first(), EAGAIN);
    return batch.flush(fd, failed);
  };
  for (Message message; cutter.next(message);) {
    if (!ipv6_ && !message.to->ip.is_v4()) {
      continue;  // as where no way leads there
    }
    message.from = local_for(*message.to);
    batch.add(message, ipv6_);
    if (batch.full() && !flush()) break;
  }
  if (!full && !batch.empty()) flush();
  // A full socket loses the datagram that met it, which is counted, and all after it, which are not.
  return full ? last_lost + 1 - lost : datagrams.size() - lost;
}

// The source for datagrams to this endpoint. The interface is named only if it leads anywhere: an uplink of several, or
// the link of an address that means nothing without it. The kernel takes an interface as an order, and would look for
// the whole internet on its link.
std::optional<LocalAddress> LinuxUdp::local_for(const Endpoint& to) const {
  auto at = sides_->replies.find(to);
  if (at && !to.ip.is_link_local() && !sides_->is_uplink(at->interface)) at->interface = 0;
  return at;
}

// A message that the kernel rejected: as single segments if it will not segment, and from an address of its choice if
// there is no route from the one that the peer sends to. True if it took everything then.
bool LinuxUdp::send_again(int fd, const Message& message, int error, bool& full) {
  if (message.segment_size != 0 && refuses_segments(error)) {
    const Took took = send_segments(fd, message, full);
    if (took != Took::none || full || !message.from) return took == Took::all;
  }
  if (!message.from) return false;
  sides_->replies.forget(*message.to);
  Message anywhere = message;
  anywhere.from.reset();
  int failure = 0;
  TxBatch batch;
  batch.add(anywhere, ipv6_);
  batch.flush(fd, [&](const Message&, int e) {
    failure = e;
    return false;
  });
  if (failure == 0) return true;
  full = is_full(failure);
  if (anywhere.segment_size != 0 && refuses_segments(failure)) {
    const Took took = send_segments(fd, anywhere, full);
    if (took != Took::none || full) return took == Took::all;
  }
  return has_no_way(failure);
}

// A run that the kernel will not segment: each segment becomes a datagram, which it fragments if necessary.
// Sets `full` like send().
LinuxUdp::Took LinuxUdp::send_segments(int fd, const Message& run, bool& full) {
  std::size_t lost = 0;
  const auto failed = [&](const Message&, int error) {
    full = is_full(error);
    ++lost;
    return !full;
  };
  TxBatch batch;
  std::size_t count = 0;
  for (ByteView bytes = run.bytes; !bytes.empty() && !full; ++count) {
    const ByteView segment = bytes.first(std::min<std::size_t>(run.segment_size, bytes.size()));
    bytes = bytes.subspan(segment.size());
    batch.add({0, run.to, segment, 0, run.traffic_class, run.from}, ipv6_);
    if (batch.full() || bytes.empty()) batch.flush(fd, failed);
  }
  // If nothing gets through, segmentation was not the problem.
  if (count > lost) no_gso_.failed(run.to->ip, run.segment_size, now());
  return lost == 0 ? Took::all : lost < count ? Took::some : Took::none;
}

}  // namespace eps::os
