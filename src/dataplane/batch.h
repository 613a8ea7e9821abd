// SPDX-License-Identifier: MIT
#pragma once

// Proof that a worker has taken its batch from a port. Only then may it look at the published table: a datagram that
// answers something was sent after the table that explains the answer was published, so a table read after the receive
// explains it, while one read before may not (Published::after).

#include <cstddef>
#include <span>

#include "ports/tap.h"
#include "ports/udp.h"

namespace eps::dataplane {

class Batch {
 public:
  static Batch receive(ports::UdpPort& udp, std::span<ports::RxDatagram> out) { return Batch(udp.receive(out)); }
  static Batch read(ports::TapPort& tap, std::span<ports::TapFrame> out) { return Batch(tap.read(out)); }
  std::size_t size() const { return size_; }

 private:
  explicit Batch(std::size_t size) : size_(size) {}
  std::size_t size_;
};

}  // namespace eps::dataplane
