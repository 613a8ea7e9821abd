// SPDX-License-Identifier: MIT
#pragma once

// The result of a step of the control thread, as a value: the table that the workers use from now on, and what is sent.
// While the step runs nobody sees any of it; execute() then carries it out in the one order in which nothing that
// provokes an answer leaves before the table that explains the answer.

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
  std::shared_ptr<const PeerTable> table;  // null: the previous one stays valid
  std::vector<Datagrams> datagrams;
  std::vector<ports::SocketId> closed_sides;

  // Appends what a later part of the same step produced.
  void merge(Commit&& later);
};

// Publishes, which wakes the workers; sends; closes side sockets. Returns how many datagrams the kernel rejected.
std::size_t execute(Commit commit, PublishedPeers& published, ports::UdpPort& udp);

// The data port as the components of a step see it: collects what they send for the step's Commit.
//
// A side socket is opened at once: nothing that could be answered has been sent from it yet.
class Outbox final : public ports::UdpPort {
 public:
  explicit Outbox(ports::UdpPort& sides) : sides_(sides) {}
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;
  void send(const ports::TxDatagram& datagram) { send({&datagram, 1}); }
  std::optional<Side> open_side() override { return sides_.open_side(); }
  void close_side(ports::SocketId socket) override { kept_.closed_sides.push_back(socket); }
  // Everything collected since the last call.
  Commit take() { return std::exchange(kept_, {}); }

 private:
  ports::UdpPort& sides_;
  Commit kept_;
};

}  // namespace eps::dataplane
