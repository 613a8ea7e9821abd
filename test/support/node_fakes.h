// SPDX-License-Identifier: MIT
#pragma once

// Helpers for tests of the parts of node/.

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "crypto/primitives.h"
#include "model/network.h"
#include "ports/udp.h"
#include "session/session.h"

namespace eps::test {

// Discards what is sent; records which side sockets are open.
class QuietUdp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override { return datagrams.size(); }
  std::optional<Side> open_side() override {
    if (open.size() >= limit) return std::nullopt;
    open.insert(++last_);
    return Side{last_, static_cast<std::uint16_t>(20000 + last_)};
  }
  void close_side(ports::SocketId side) override { open.erase(side); }
  std::set<ports::SocketId> open;
  std::size_t limit = ports::kMaxSideSockets;

 private:
  ports::SocketId last_ = 0;
};

// One for each number.
inline PublicKey key_of(std::uint32_t n) {
  PublicKey out;
  store_be32(out.bytes.data(), n);
  return out;
}

// Online, at 198.18.0.ID:7000.
inline Member member_of(std::uint32_t id, const PublicKey& key = {}) {
  Member m;
  m.id = {id};
  m.key = key;
  m.name = "c" + std::to_string(id);
  m.mac.bytes[0] = std::byte{2};
  store_be32(m.mac.bytes.data() + 2, id);
  m.address = {0x0a000000U + id};
  m.online = true;
  m.candidates = {{Candidate::Kind::observed, {IpAddress::from_v4({0xc6120000U + id}), 7000}}};
  return m;
}

// One end of a session; the other end is made with !initiator.
inline session::SessionParams session_params(bool initiator, Instant now) {
  const auto key = [](bool of_initiator) {
    crypto::Key out;
    std::ranges::fill(out.writable(), of_initiator ? std::byte{1} : std::byte{2});
    return out;
  };
  session::SessionParams params;
  params.local_index = params.remote_index = 1;
  params.initiator = initiator;
  params.established_at = now;
  params.send_key = key(initiator);
  params.receive_key = key(!initiator);
  return params;
}
inline std::shared_ptr<session::Session> session_of(bool initiator, Instant now) {
  return std::make_shared<session::Session>(session_params(initiator, now));
}

}  // namespace eps::test
