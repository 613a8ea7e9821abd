#pragma once

// The UDP socket: batches of datagrams with segmentation (GSO) and coalescing (GRO) by the kernel. One dual-stack
// socket serves IPv4 and IPv6. Datagrams that are larger than the path carries are fragmented, never refused: the EPS
// interface's MTU is chosen so that this is rare, and a slow path is better than none.

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "os/gso_memory.h"
#include "os/unique_fd.h"
#include "ports/udp.h"

namespace eps::os {

struct UdpOptions {
  std::uint16_t port = 0;  // 0: the kernel chooses
  bool gso = true;         // each is left out where the kernel cannot do it
  bool gro = true;
};

class LinuxUdp final : public ports::UdpPort {
 public:
  static Result<std::unique_ptr<LinuxUdp>> open(const UdpOptions& options = {});
  ~LinuxUdp() override;

  std::size_t receive(std::span<ports::RxDatagram> out) override;
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;

  int fd() const { return fd_.get(); }  // readable when a datagram waits
  std::uint16_t local_port() const { return port_; }
  bool gso() const { return gso_; }
  bool gro() const { return gro_; }
  bool ipv6() const { return ipv6_; }  // false: the machine's kernel has no IPv6, only IPv4 is served

 private:
  struct RxPool;
  LinuxUdp(UniqueFd fd, bool ipv6);
  void tune(const UdpOptions& options);
  Result<void> bind_to(std::uint16_t port);
  bool send_segments(const Endpoint& to, ByteView bytes, std::uint16_t segment_size, bool& full);

  UniqueFd fd_;
  const bool ipv6_;
  bool gso_ = false;
  bool gro_ = false;
  std::uint16_t port_ = 0;
  std::unique_ptr<RxPool> rx_;  // the receiving thread's
  GsoMemory no_gso_;            // destinations to which segmentation failed lately; any thread's
};

}  // namespace eps::os
