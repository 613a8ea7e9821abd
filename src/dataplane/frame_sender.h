// SPDX-License-Identifier: MIT
#pragma once

// Seals inner segments for peers and sends them in runs: datagrams of one size for one endpoint that follow each other
// leave in one system call, whether they are cut from one super-frame or from many small frames.

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/time.h"
#include "dataplane/peer_table.h"
#include "l2/segment.h"
#include "model/counters.h"
#include "ports/udp.h"

namespace eps::dataplane {

// Thread rules: one thread at a time; several FrameSenders may share a UdpPort and seal in one session.
class FrameSender {
 public:
  FrameSender(ports::UdpPort& udp, Counters& counters);

  // Seals the segments for `peer` and queues the datagrams, of each that is larger than the path takes several.
  // `traffic_class` is that of the packet. REQUIRES: peer.ready(). The inputs may go afterwards.
  void send_segments(const Peer& peer, std::span<const l2::Segment> segments, std::uint8_t traffic_class, Instant now);
  // Hands all that is queued to the kernel.
  void flush();
  // The same when more follows at once: a last run with room waits for it, but not twice.
  void flush_full_runs();

 private:
  // Two to three super-frames: one alone makes a run that is full and one of a few datagrams, which those of the next
  // can fill up.
  static constexpr std::size_t kFlushAt = 192 * 1024;
  // Room for what is queued when a batch of 64 of the largest datagrams begins to be sealed.
  static constexpr std::size_t kArenaSize = 384 * 1024;
  static constexpr std::size_t kSealBatch = 64;

  std::size_t seal_batch(const Peer& peer, std::span<const l2::Segment> segments, Instant now);
  bool send_in_pieces(const Peer& peer, const l2::Segment& segment, Instant now);
  void extend_run(const Peer& peer, ByteView datagram);

  ports::UdpPort& udp_;
  Counters& counters_;
  std::unique_ptr<std::byte[]> arena_;
  std::size_t used_ = 0;
  std::size_t kept_ = 0;  // of it, what the last flush_full_runs() left
  std::vector<ports::TxDatagram> runs_;
  bool run_open_ = false;           // the last run has room
  std::uint8_t traffic_class_ = 0;  // of the datagrams that are sealed now
  // Of the segment that goes in pieces.
  std::vector<l2::Segment> pieces_;
  std::vector<std::byte> piece_heads_;
};

}  // namespace eps::dataplane
