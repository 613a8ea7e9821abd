#pragma once

// Seals inner segments for peers and sends them in runs: datagrams of one size for one endpoint that follow each other
// leave in one system call, whether they are cut from one super-frame or from many small frames.

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
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

  // Seals the segments for `peer` and queues the datagrams. REQUIRES: peer.ready(). The inputs may go afterwards.
  void send_segments(const Peer& peer, std::span<const l2::Segment> segments, Instant now);
  // Splits one frame for `peer` and sends it as above. `frame` has kTapHeadroom bytes before it.
  void send_frame(l2::Segmenter& segmenter, const Peer& peer, const l2::MacPair& macs, const ports::TapFrame& frame,
                  const l2::FrameInfo& info, Instant now);
  // Hands what is queued to the kernel. `more` follows at once: a last run with room waits for it, but not twice.
  void flush(bool more = false);

 private:
  // Two to three super-frames: one alone makes a run that is full and one of a few datagrams, which those of the next
  // can fill up.
  static constexpr std::size_t kFlushAt = 192 * 1024;
  // Room for what is queued when a batch of 64 of the largest datagrams begins to be sealed.
  static constexpr std::size_t kArenaSize = 384 * 1024;
  static constexpr std::size_t kSealBatch = 64;

  std::size_t seal_batch(const Peer& peer, std::span<const l2::Segment> segments, Instant now);
  void extend_run(const Peer& peer, ByteView datagram);

  ports::UdpPort& udp_;
  Counters& counters_;
  std::unique_ptr<std::byte[]> arena_;
  std::size_t used_ = 0;
  std::size_t kept_ = 0;  // of it, what the last flush left
  std::vector<ports::TxDatagram> runs_;
  bool run_open_ = false;  // the last run has room
};

}  // namespace eps::dataplane
