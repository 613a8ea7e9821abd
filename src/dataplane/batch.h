// SPDX-License-Identifier: MIT
#pragma once

// Proof that a worker has taken its batch from a port. Only then may it look at the published table: what a datagram
// answers was sent after the table that knows the answer had been published, so a table that is looked at after the
// receive knows it, and one that was looked at before may not (Published::after).

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
