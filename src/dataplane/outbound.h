#pragma once

// From the TAP to the peers:
//
//   1. read a batch of frames
//   2. the source must be this node's own (l2/source_guard); nothing that this node itself sent by UDP may be in a
//   frame,
//      or it would go round for ever
//   3. destination: one peer by its MAC; every reachable peer for broadcast and multicast
//   4. a peer without session or way: the frame becomes an upcall, node/ keeps it and shakes hands
//   5. split super-frames into segments, seal them straight into the send buffer
//   6. send in runs

#include <array>

#include "dataplane/frame_sender.h"
#include "dataplane/standing_queue.h"
#include "dataplane/upcall.h"
#include "l2/parse.h"
#include "ports/tap.h"

namespace eps::dataplane {

class Outbound {
 public:
  // `underlay_port`: the local port of `udp`, by which its datagrams are known where a route leads them into the TAP;
  // 0: they are not looked for.
  Outbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, std::uint16_t underlay_port = 0);
  // One batch; returns how many frames were read.
  std::size_t pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls);

 private:
  void take(const PeerTable& table, const ports::TapFrame& frame, Instant now, Upcalls& upcalls);
  void to_one(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame, const l2::FrameInfo& info,
              Instant now, Upcalls& upcalls);
  void to_all(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
              Upcalls& upcalls);
  bool loops(const PeerTable& table, ByteView frame, const l2::FrameInfo& info) const;
  bool ready(const Peer& peer, const ports::TapFrame& frame, Instant now, Upcalls& upcalls);

  ports::TapPort& tap_;
  Counters& counters_;
  const std::uint16_t underlay_port_;
  l2::Segmenter segmenter_;
  FrameSender sender_;
  StandingQueue queue_;  // the TAP's
};

}  // namespace eps::dataplane
