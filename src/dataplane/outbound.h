// SPDX-License-Identifier: MIT
#pragma once

// From the TAP to the peers:
//
//   1. read a batch of frames
//   2. the source must be this node's own (l2/source_guard); it must not contain anything that this node itself sent by
//      UDP, which would loop for ever
//   3. the kernel's queries to its link are answered from the member list, and do not leave (l2/neighbour)
//   4. destination: one peer by its MAC, or the one that a machine is behind; for broadcast and multicast those with a
//      session, unless they said that they do not listen to the group; node/ handles the others
//   5. a peer without session or path: the frame becomes an upcall, node/ queues it and starts a handshake
//   6. the policy, for each peer (dataplane/flow_guard.h)
//   7. split super-frames into segments, seal them straight into the send buffer
//   8. send in runs

#include <array>

#include "dataplane/frame_sender.h"
#include "dataplane/standing_queue.h"
#include "dataplane/upcall.h"
#include "l2/neighbour.h"
#include "l2/parse.h"
#include "ports/tap.h"

namespace eps::dataplane {

class Outbound {
 public:
  // `underlay_port`: the local port of `udp`, to recognise its datagrams where a route leads them into the TAP; 0: no
  // check.
  Outbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, std::uint16_t underlay_port = 0);
  // One batch; returns how many frames were read.
  std::size_t pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls);

 private:
  void take(const PeerTable& table, const ports::TapFrame& frame, Instant now, Upcalls& upcalls);
  void to_one(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame, const l2::FrameInfo& info,
              Instant now, Upcalls& upcalls);
  void to_all(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
              Upcalls& upcalls);
  // To those with a session; returns them. nullopt: it has been dropped.
  std::optional<std::vector<MemberId>> to_live(const PeerTable& table, const ports::TapFrame& frame,
                                               const l2::FrameInfo& info, Instant now, Upcalls& upcalls);
  void to_silent(const PeerTable& table, const ports::TapFrame& frame, std::vector<MemberId> served, Upcalls& upcalls);
  bool loops(const PeerTable& table, ByteView frame, const l2::FrameInfo& info) const;
  // True: the frame was a query to the link, and has been handled.
  bool answered(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                Upcalls& upcalls);
  void to_member(const PeerTable& table, const Resident& member, const ports::TapFrame& frame,
                 const l2::FrameInfo& info, Instant now, Upcalls& upcalls);
  void heard_here(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                  Upcalls& upcalls);
  bool present(const PeerTable& table, const ports::TapFrame& heard, const l2::FrameInfo& machine, bool moved,
               Instant now, Upcalls& upcalls);
  // For a machine behind a member.
  void to_station(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                  Upcalls& upcalls);
  void to_queriers(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, bool beyond_link,
                   Instant now, Upcalls& upcalls);
  bool may_pass(const PeerTable& table, const ports::TapFrame& frame, Instant now, Upcalls& upcalls);
  bool allowed(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame, const l2::FrameInfo& info,
               Instant now, Upcalls& upcalls);
  void refused(const PeerTable& table, const l2::FrameInfo& info, const l2::Refusal& why, Instant now,
               Upcalls& upcalls);
  void announce(const PeerTable& table);
  void write(ByteView frame);
  static bool sealing(const Peer& peer, Instant now);
  void wake(const Peer& peer, Instant now, Upcalls& upcalls);
  bool ready(const Peer& peer, const ports::TapFrame& frame, Instant now, Upcalls& upcalls);

  ports::TapPort& tap_;
  Counters& counters_;
  const std::uint16_t underlay_port_;
  l2::Segmenter segmenter_;
  FrameSender sender_;
  StandingQueue queue_;  // of the TAP
  LoopWatch loops_;
  StationMemory stations_;
  Instant told_refusal_{};
  Instant told_limit_{};
  Instant told_policy_{};
};

}  // namespace eps::dataplane
