// SPDX-License-Identifier: MIT
#pragma once

// Seals inner segments for peers and sends them in runs: consecutive datagrams of one size for one endpoint leave in
// one system call, whether they are cut from one super-frame or from many small frames.

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

  // Seals the segments for `peer` and queues the datagrams, several for each segment that is too large for the path.
  // `traffic_class` is that of the packet. REQUIRES: peer.ready(). The inputs need not outlive the call.
  void send_segments(const Peer& peer, std::span<const l2::Segment> segments, std::uint8_t traffic_class, Instant now);
  // Passes everything queued to the kernel.
  void flush();
  // The same when more follows at once: a last run with room waits for it, but only once.
  void flush_full_runs();

 private:
  // Two to three super-frames: one alone makes a full run and one of a few datagrams, which those of the next one can
  // complete.
  static constexpr std::size_t kFlushAt = 192 * 1024;
  // Room for the queue when sealing of a batch of 64 of the largest datagrams starts.
  static constexpr std::size_t kArenaSize = 384 * 1024;
  static constexpr std::size_t kSealBatch = 64;

  std::size_t seal_batch(const Peer& peer, std::span<const l2::Segment> segments, Instant now);
  bool send_in_pieces(const Peer& peer, const l2::Segment& segment, Instant now);
  void extend_run(const Peer& peer, ByteView datagram);

  ports::UdpPort& udp_;
  Counters& counters_;
  std::unique_ptr<std::byte[]> arena_;
  std::size_t used_ = 0;
  std::size_t kept_ = 0;  // of these, what the last flush_full_runs() left
  std::vector<ports::TxDatagram> runs_;
  bool run_open_ = false;           // the last run has room
  std::uint8_t traffic_class_ = 0;  // of the datagrams being sealed
  // For the segment that is sent in pieces.
  std::vector<l2::Segment> pieces_;
  std::vector<std::byte> piece_heads_;
};

}  // namespace eps::dataplane
