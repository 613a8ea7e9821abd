// SPDX-License-Identifier: MIT
#pragma once

// The outer network as the data plane sees it: batches of datagrams, each possibly a run of equal segments that the
// kernel splits (UDP GSO) or has joined (UDP GRO).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/types.h"

namespace eps::ports {

// Which of a port's sockets: 0 is the main one, whose local port is announced to everybody; side sockets exist to get
// further mappings in a NAT that makes a new one for each destination.
using SocketId = std::uint16_t;
inline constexpr std::size_t kMaxSideSockets = 512;

struct RxDatagram {
  Endpoint from;
  ByteSpan bytes;                  // one datagram, or several of `segment_size` bytes (the last may be shorter)
  std::uint16_t segment_size = 0;  // never 0 in what receive() returns
  SocketId socket = 0;             // where it arrived
  std::uint8_t traffic_class = 0;  // of its IP header: DSCP and ECN (RFC 2474, RFC 3168)
};

struct TxDatagram {
  Endpoint to;
  ByteView bytes;
  std::uint16_t segment_size = 0;  // 0: one datagram; else split every so many bytes, into at most kMaxSegments
  SocketId socket = 0;             // from which it is sent; lost if that socket is closed
  bool bulk = false;               // dropped while the path is congested, unlike packets that keep conduits alive
  bool whole = false;              // dropped rather than fragmented when it does not fit: a probe of the path MTU
  std::uint8_t traffic_class = 0;  // for its IP header
};

inline std::size_t segments_of(const TxDatagram& run) {
  return run.segment_size == 0 ? 1 : (run.bytes.size() + run.segment_size - 1) / run.segment_size;
}
inline std::size_t segments_of(std::span<const TxDatagram> runs) {
  std::size_t n = 0;
  for (const TxDatagram& run : runs) n += segments_of(run);
  return n;
}

// Limits of one TxDatagram (Linux: UDP_MAX_SEGMENTS was 64 until 6.9; a UDP payload over IPv4 ends at 65,507).
inline constexpr std::size_t kMaxSegments = 64;
inline constexpr std::size_t kMaxUdpPayload = 65507;

// Thread rules: one thread at a time receives; any thread may call send(), open_side() and close_side() at any
// time.
class UdpPort {
 public:
  virtual ~UdpPort() = default;
  // Receives up to `out.size()` runs without blocking and returns their number. The bytes are in the port's own
  // buffers, which the caller may overwrite (opening happens in place), and stay valid until the next receive.
  virtual std::size_t receive(std::span<RxDatagram> out) = 0;
  // Whether the last receive emptied the queue. For the receiving thread.
  virtual bool drained() const { return true; }
  // Datagrams that the kernel dropped since the last call because its buffer was full when they arrived; reported with
  // the first receive afterwards. A run that it had joined counts as one. For the receiving thread.
  virtual std::uint64_t take_overruns() { return 0; }
  // Runs that arrived through an EPS interface since the last call and were refused. For the receiving thread.
  virtual std::uint64_t take_looped() { return 0; }
  // Sends as much as it can without blocking; returns how many the kernel had room for, including those without a
  // route to their destination. The others are lost, as on any network.
  virtual std::size_t send(std::span<const TxDatagram> datagrams) = 0;
  // Opens a side socket with its own local port; nullopt when no more are available.
  struct Side {
    SocketId socket = 0;
    std::uint16_t port = 0;
  };
  virtual std::optional<Side> open_side() = 0;
  virtual void close_side(SocketId socket) = 0;
};

}  // namespace eps::ports
