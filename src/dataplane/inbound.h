// SPDX-License-Identifier: MIT
#pragma once

// From the peers to the TAP:
//
//   1. receive runs of datagrams
//   2. cut each run; remove the relay envelope of what a relay sent us; forward what we relay for others
//   3. data: find the session by its index, open its datagrams together, in place; anything else becomes an upcall
//   4. path messages become upcalls; fragments are reassembled; frames are decoded, each parsed once
//   5. the destination must be this node, a group or perhaps a machine behind this node, the source must be the
//      sender's own (l2/source_guard)
//   6. the policy must allow it (dataplane/flow_guard.h)
//   7. join segments of a flow, write super-frames to the TAP before the next receive

#include <array>
#include <memory>
#include <vector>

#include "dataplane/peer_table.h"
#include "dataplane/relay.h"
#include "dataplane/standing_queue.h"
#include "dataplane/upcall.h"
#include "l2/coalesce.h"
#include "ports/tap.h"
#include "ports/udp.h"

namespace eps::dataplane {

class Inbound {
 public:
  Inbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, l2::Offloads offloads);
  // One batch; returns how many runs were received. The table is read after the receive: a datagram that answers
  // something was sent after its session had been published.
  std::size_t pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls);

 private:
  static constexpr std::size_t kBatch = 64;
  void take_run(const PeerTable& table, const ports::RxDatagram& run, Instant now, Upcalls& upcalls);
  // Removes the envelope, or forwards the datagram, or drops it. True: continue with the rest.
  bool take_envelope(const PeerTable& table, const ports::RxDatagram& run, ByteSpan& datagram, Arrival& arrival,
                     Instant now, Upcalls& upcalls);
  void take_datagram(const PeerTable& table, const Arrival& arrival, ByteSpan datagram, Instant now, Upcalls& upcalls);
  // Opens what was collected for one session and passes it on.
  void open_batch(const PeerTable& table, Instant now, Upcalls& upcalls);
  // `frame`: size of the resulting Ethernet frame, if there is one.
  Drop take_plain(const PeerTable& table, const Peer& peer, ByteSpan plain, Instant now, std::uint32_t arrived,
                  Upcalls& upcalls, std::size_t& frame);
  Drop take_fragment(const PeerTable& table, const Peer& peer, ByteView content, Instant now, Upcalls& upcalls,
                     std::size_t& frame);
  Drop take_frame(const PeerTable& table, const Peer& peer, ByteSpan plain, std::uint8_t outer, Instant now,
                  Upcalls& upcalls, std::size_t& frame);
  bool allowed(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now, Upcalls& upcalls);
  Drop take_group(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now, Upcalls& upcalls);
  void note_unwanted(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now,
                     Upcalls& upcalls) const;
  void write_out();

  ports::TapPort& tap_;
  ports::UdpPort& udp_;
  Counters& counters_;
  l2::Coalescer coalescer_;
  Forwarder forwarder_;
  StandingQueue queue_;  // of the UDP socket
  // The batch being collected: datagrams of one session that arrived on the same path.
  std::array<session::Open, kBatch> opens_;
  std::size_t open_count_ = 0;
  const PeerTable::Receiving* receiving_ = nullptr;
  Arrival arrival_;
  std::uint8_t traffic_class_ = 0;  // of their IP headers
  std::vector<Bytes> joined_;       // reassembled frames, until they are written
  StationMemory stations_;
  RateLimit unknown_;  // of the control thread's share of what opens in no session
  Instant told_refusal_{};
  Instant told_limit_{};
  Instant told_policy_{};
};

}  // namespace eps::dataplane
