// SPDX-License-Identifier: MIT
#pragma once

// The UDP socket: batches of datagrams with segmentation (GSO) and coalescing (GRO) by the kernel. One dual-stack
// socket serves IPv4 and IPv6. A datagram that is too large for the path is fragmented, unless it is marked to arrive
// whole: frames are cut to the probed size (mesh/path_mtu.h), and for a peer that does not answer such probes a slow
// path is better than none.
//
// Datagrams to an endpoint leave from the address that the endpoint sends to (os/reply_memory.h). Datagrams that arrive
// through an EPS interface are refused: the conduits must not run inside themselves.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "os/gso_memory.h"
#include "os/reply_memory.h"
#include "os/unique_fd.h"
#include "ports/udp.h"

namespace eps::os {

struct UdpOptions {
  std::uint16_t port = 0;  // 0: the kernel chooses
  bool gso = true;         // each is left out where the kernel cannot do it
  bool gro = true;
  bool queues = false;  // add_queue() will be called
};

class LinuxUdp final : public ports::UdpPort {
 public:
  static Result<std::unique_ptr<LinuxUdp>> open(const UdpOptions& options = {});
  // Another socket on the same port, for another thread: the kernel gives each pair of endpoints to one of them. It
  // also sends from the side sockets; receiving from them stays with the first. REQUIRES: opened with `queues`.
  Result<std::unique_ptr<LinuxUdp>> add_queue() const;
  ~LinuxUdp() override;

  std::size_t receive(std::span<ports::RxDatagram> out) override;
  bool drained() const override { return drained_; }
  std::uint64_t take_overruns() override;
  std::uint64_t take_looped() override;
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;
  std::optional<Side> open_side() override;
  void close_side(ports::SocketId socket) override;

  // For all queues and side sockets; any thread. `inside`: the interfaces whose arrivals are refused, at most
  // kMaxInside of them. `uplinks`: those with a default route, through which an answer leaves where the question came.
  struct Interfaces {
    std::vector<std::uint32_t> inside;
    std::vector<std::uint32_t> uplinks;
    bool operator==(const Interfaces&) const = default;
  };
  static constexpr std::size_t kMaxInside = 8;
  void set_interfaces(const Interfaces& interfaces);
  // This machine's addresses or routes changed: the kernel chooses the source, until it was heard, for each peer that
  // was answered from an address other than these.
  void forget_local_addresses(std::span<const IpAddress> except) { sides_->replies.forget_except(except); }
  // Whether the sockets carry the mark of the underlay; false without CAP_NET_ADMIN.
  bool marked() const { return marked_; }

  int fd() const { return fd_.get(); }                // readable when a datagram waits at the main socket
  int side_fd() const { return sides_->poll.get(); }  // readable when one waits at any side socket
  std::uint16_t local_port() const { return port_; }
  bool gso() const { return gso_; }
  bool gro() const { return gro_; }
  bool ipv6() const { return ipv6_; }  // false: the machine's kernel has no IPv6, only IPv4 is served

 private:
  struct RxPool;
  struct Sides {
    UniqueFd poll;  // epoll over all of them; an event's data is the SocketId
    Mutex mutex;
    std::map<ports::SocketId, UniqueFd> fds EPS_GUARDED_BY(mutex);
    std::atomic<std::size_t> count{0};  // of fds, so that nobody locks while there are none
    // What else all queues share.
    ReplyMemory replies;
    std::array<std::atomic<std::uint32_t>, kMaxInside> inside{}, uplinks{};  // indices; 0: none
    std::atomic<std::uint64_t> looped{0};                                    // refused since it was last taken

    explicit Sides(std::uint64_t seed) : replies(seed) {}
    bool is_inside(std::uint32_t interface) const;
    bool is_uplink(std::uint32_t interface) const;
  };
  LinuxUdp(UniqueFd fd, std::shared_ptr<Sides> sides, bool first, bool ipv6, const UdpOptions& options);
  static Result<std::unique_ptr<LinuxUdp>> open(const UdpOptions& options, std::shared_ptr<Sides> sides, bool first);
  void tune(int fd, const UdpOptions& options);
  std::optional<LocalAddress> local_for(const Endpoint& to) const;
  Result<std::uint16_t> bind_to(int fd, std::uint16_t port);
  std::size_t receive_from(int fd, ports::SocketId socket, std::span<ports::RxDatagram> out, std::size_t first_slot);
  std::size_t receive_from_sides(std::span<ports::RxDatagram> out);
  std::size_t send_by(int fd, std::span<const ports::TxDatagram> datagrams);
  struct Message;
  class TxBatch;
  enum class Took { all, some, none };
  Took send_segments(int fd, const Message& run, bool& full);
  bool send_again(int fd, const Message& message, int error, bool& full);
  std::size_t send_as_set(int fd, std::span<const ports::TxDatagram> datagrams);
  void dont_fragment(int fd, bool on) const;

  UniqueFd fd_;
  const std::shared_ptr<Sides> sides_;  // of all queues
  const bool first_;                    // of the queues
  const bool ipv6_;
  const UdpOptions options_;
  bool gso_ = false;
  bool gro_ = false;
  bool marked_ = false;
  std::uint16_t port_ = 0;
  std::unique_ptr<RxPool> rx_;  // for the receiving thread
  bool drained_ = true;         // for the receiving thread
  // Datagrams that the kernel dropped at the main socket, modulo 2^32, and how many were reported. Receiving thread
  // only.
  std::uint32_t overruns_ = 0;
  std::uint32_t told_overruns_ = 0;
  GsoMemory no_gso_;  // destinations to which segmentation failed lately; any thread
};

}  // namespace eps::os
