// SPDX-License-Identifier: MIT
#pragma once

// What a step of the control thread comes to, as a value: the table that the workers shall use from now on, and what
// leaves. While the step runs nothing of it is seen by anybody; execute() then does it in the one order in which
// nothing that provokes an answer leaves before the table by which the answer is understood.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "dataplane/peer_table.h"
#include "ports/udp.h"

namespace eps::dataplane {

struct Commit {
  struct Datagrams {
    Endpoint to;
    Bytes bytes;  // one datagram, or a run of them (ports::TxDatagram)
    std::uint16_t segment_size = 0;
    ports::SocketId socket = 0;
    bool bulk = false;
    bool whole = false;
  };
  std::shared_ptr<const PeerTable> table;  // null: the one before holds
  std::vector<Datagrams> datagrams;
  std::vector<ports::SocketId> closed_sides;

  // What a later part of the same step adds.
  void merge(Commit&& later);
};

// Publishes, which wakes the workers; sends; closes side sockets. Returns how many datagrams the kernel did not take.
std::size_t execute(Commit commit, PublishedPeers& published, ports::UdpPort& udp);

// The data port as the components of a step see it: keeps what they send for the step's Commit.
//
// A side socket is opened at once: nothing has been sent by it yet that could be answered.
class Outbox final : public ports::UdpPort {
 public:
  explicit Outbox(ports::UdpPort& sides) : sides_(sides) {}
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;
  void send(const ports::TxDatagram& datagram) { send({&datagram, 1}); }
  std::optional<Side> open_side() override { return sides_.open_side(); }
  void close_side(ports::SocketId socket) override { kept_.closed_sides.push_back(socket); }
  // All that was kept since the last call.
  Commit take() { return std::exchange(kept_, {}); }

 private:
  ports::UdpPort& sides_;
  Commit kept_;
};

}  // namespace eps::dataplane
