// SPDX-License-Identifier: MIT
#include "os/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "os/sys_error.h"

namespace eps::os {
namespace {

// struct virtio_net_hdr in its 10-byte form, in the machine's own byte order; <linux/virtio_net.h> cannot be included
// from C++, as it has a member named `class`.
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kDataValid = 2;
constexpr std::uint8_t kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoUdp = 5;  // VIRTIO_NET_HDR_GSO_
constexpr std::uint8_t kGsoEcn = 0x80;  // an additional bit: the TCP super-frame has CWR set

// Newer than the headers of Debian 12 (Linux 6.2).
constexpr unsigned kTunUso4 = 0x20, kTunUso6 = 0x40;

// Frames of one read lie in the arena one behind the other, so a read takes as many as always leave room for one more
// super-frame: 64 frames of up to 3 KB, or four super-frames, which together still fit a core's L2 cache.
constexpr std::size_t kSlot = (ports::kTapHeadroom + ports::kMaxSuperFrame + 63) / 64 * 64;
constexpr std::size_t kArena = 4 * kSlot;

// False for a super-frame of a kind that we never offered to take.
bool to_meta(const VnetHeader& header, ports::FrameMeta& meta) {
  switch (header.gso_type & ~kGsoEcn) {
    case kGsoNone:
      meta.gso = ports::Gso::none;
      break;
    case kGsoTcp4:
      meta.gso = ports::Gso::tcp4;
      break;
    case kGsoTcp6:
      meta.gso = ports::Gso::tcp6;
      break;
    case kGsoUdp:
      meta.gso = ports::Gso::udp;
      break;
    default:
      return false;
  }
  meta.gso_size = header.gso_size;
  meta.header_size = header.hdr_len;
  meta.checksum_partial = (header.flags & kNeedsChecksum) != 0;
  meta.checksum_valid = (header.flags & kDataValid) != 0;
  meta.csum_start = meta.checksum_partial ? header.csum_start : std::uint16_t{0};
  meta.csum_offset = meta.checksum_partial ? header.csum_offset : std::uint16_t{0};
  return true;
}

// The kernel must know of a CWR flag to repeat it on the first segment only (RFC 3168, 6.1.2).
bool has_cwr(const ports::TapWrite& frame) {
  constexpr std::size_t kTcpFlags = 13;
  std::size_t at = frame.meta.csum_start + kTcpFlags;
  for (const ByteView piece : frame.pieces) {
    if (at < piece.size()) return (piece[at] & std::byte{0x80}) != std::byte{0};
    at -= piece.size();
  }
  return false;
}

VnetHeader to_header(const ports::TapWrite& frame) {
  const ports::FrameMeta& meta = frame.meta;
  VnetHeader header;
  if (meta.checksum_partial) {
    header.flags = kNeedsChecksum;
    header.csum_start = meta.csum_start;
    header.csum_offset = meta.csum_offset;
  } else if (meta.checksum_valid) {
    header.flags = kDataValid;
  }
  switch (meta.gso) {
    case ports::Gso::none:
      return header;
    case ports::Gso::tcp4:
      header.gso_type = kGsoTcp4;
      break;
    case ports::Gso::tcp6:
      header.gso_type = kGsoTcp6;
      break;
    case ports::Gso::udp:
      header.gso_type = kGsoUdp;
      break;
  }
  if (meta.gso != ports::Gso::udp && has_cwr(frame)) header.gso_type |= kGsoEcn;
  header.hdr_len = meta.header_size;
  header.gso_size = meta.gso_size;
  return header;
}

Error open_error(int sys) {
  const bool missing = sys == ENOENT || sys == ENODEV || sys == ENXIO;
  return sys_error("cannot open /dev/net/tun", sys,
                   missing ? "load the driver with 'modprobe tun', or in a container map the device into it "
                             "(--device=/dev/net/tun)"
                           : "run eps-client with sudo or through its systemd unit, or in a container map the device "
                             "into it (--device=/dev/net/tun)");
}

Error attach_error(const std::string& name, int sys) {
  const std::string tried = "cannot create the network interface " + (name.empty() ? "eps%d" : name);
  switch (sys) {
    case EPERM:
      return sys_error(tried, sys,
                       "this needs CAP_NET_ADMIN: run eps-client with sudo or through its systemd unit (in a "
                       "container: --cap-add=NET_ADMIN)");
    case EBUSY:
      return sys_error(tried, sys, "a running eps-client or another program uses it; choose another with --device");
    case EINVAL: {
      Error error = sys_error(tried, sys, "another kind of interface has this name; choose another with --device");
      error.code = Errc::in_use;
      return error;
    }
    default:
      return sys_error(tried, sys);
  }
}

// The kernel's dev_valid_name(), and no '%', which would make the kernel choose a number.
Result<void> check_name(const std::string& name) {
  bool valid = name.size() < IFNAMSIZ && name != "." && name != "..";
  for (const char c : name) valid = valid && c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%';
  if (valid) return {};
  return make_error(Errc::invalid_argument, "'" + name +
                                                "' cannot name a network interface: choose 1 to 15 letters, "
                                                "digits, '-', '_' or '.' with --device");
}

}  // namespace

LinuxTap::LinuxTap(UniqueFd fd, const TapOptions& wish)
    : fd_(std::move(fd)), options_(wish), arena_(new std::byte[kArena]) {}

Result<std::unique_ptr<LinuxTap>> LinuxTap::open(const std::string& name, const TapOptions& options) {
  if (Result<void> valid = check_name(name); !valid) return valid.error();
  // A second program could attach to a multi-queue device as if it were ours, so that one must be new.
  return attach(name, options, options.queues > 1 ? IFF_TUN_EXCL : 0);
}

Result<std::unique_ptr<LinuxTap>> LinuxTap::add_queue() const {
  return attach(name_, options_, 0);
}

Result<std::unique_ptr<LinuxTap>> LinuxTap::attach(const std::string& name, const TapOptions& wish, int flags) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return open_error(errno);
  ifreq request{};
  // The kernel takes the template as a name with the lowest free number.
  std::strncpy(request.ifr_name, name.empty() ? "eps%d" : name.c_str(), IFNAMSIZ - 1);
  flags |= IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (wish.queues > 1 ? IFF_MULTI_QUEUE : 0);
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return attach_error(name, errno);

  std::unique_ptr<LinuxTap> tap(new LinuxTap(std::move(fd), wish));
  tap->name_ = request.ifr_name;
  tap->ifindex_ = static_cast<int>(::if_nametoindex(request.ifr_name));
  if (Result<void> set = tap->set_offloads(); !set) return set.error();
  return tap;
}

// REQUIRES: attached. The kernel requires this order: the header size first, then the offloads that use it.
Result<void> LinuxTap::set_offloads() {
  int header_size = sizeof(VnetHeader);
  if (::ioctl(fd_.get(), TUNSETVNETHDRSZ, &header_size) != 0) {
    return sys_error("cannot set the header size of " + name_, errno);
  }
  options_.tso = options_.tso && options_.checksum;
  options_.uso = options_.uso && options_.checksum;
  for (;;) {
    unsigned offloads = 0;
    if (options_.checksum) offloads |= TUN_F_CSUM;
    if (options_.tso) offloads |= TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (options_.uso) offloads |= kTunUso4 | kTunUso6;
    if (::ioctl(fd_.get(), TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0) return {};
    // Unknown bits are refused as a whole: ask for less, the newest first.
    if (options_.uso) {
      options_.uso = false;
    } else if (options_.tso) {
      options_.tso = false;
    } else if (options_.checksum) {
      options_.checksum = false;
    } else {
      return sys_error("cannot set the offloads of " + name_, errno);
    }
  }
}

std::size_t LinuxTap::read(std::span<ports::TapFrame> out) {
  std::size_t count = 0;
  std::size_t used = 0;
  drained_ = false;
  while (count < out.size() && used + kSlot <= kArena) {
    VnetHeader header;
    std::byte* const frame = arena_.get() + used + ports::kTapHeadroom;
    const iovec iov[2] = {{&header, sizeof(header)}, {frame, ports::kMaxSuperFrame}};
    const ssize_t got = ::readv(fd_.get(), iov, 2);
    if (got < 0 && errno == EINTR) continue;
    if (got <= static_cast<ssize_t>(sizeof(header))) {  // EAGAIN: no more
      drained_ = true;
      if (got < 0 && errno == EBADFD) attached_ = false;
      break;
    }
    const std::size_t size = static_cast<std::size_t>(got) - sizeof(header);
    if (size > ports::kMaxSuperFrame || !to_meta(header, out[count].meta)) continue;
    out[count].bytes = {frame, size};
    ++count;
    used += (ports::kTapHeadroom + size + 63) / 64 * 64;  // the next frame begins on a cache line of its own
  }
  return count;
}

std::size_t LinuxTap::write(std::span<const ports::TapWrite> frames) {
  std::size_t taken = 0;
  bool give_up = false;
  down_ = false;
  for (const ports::TapWrite& frame : frames) {
    if (write_one(frame, give_up)) ++taken;
    if (give_up) break;
  }
  return taken;
}

// Sets `give_up` where the next frame would not be taken either.
bool LinuxTap::write_one(const ports::TapWrite& frame, bool& give_up) {
  VnetHeader header = to_header(frame);
  iov_.clear();
  iov_.push_back({&header, sizeof(header)});
  for (const ByteView piece : frame.pieces) iov_.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  for (;;) {
    if (::writev(fd_.get(), iov_.data(), static_cast<int>(iov_.size())) >= 0) return true;
    if (errno == EINTR) continue;
    down_ = errno == EIO;
    give_up = down_ || errno == EAGAIN || errno == ENOBUFS || errno == EBADFD;
    return false;
  }
}

}  // namespace eps::os
