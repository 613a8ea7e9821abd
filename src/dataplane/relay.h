// SPDX-License-Identifier: MIT
#pragma once

// A relay, the server's or a member's: moves sealed datagrams between members whose endpoints it has authenticated. It
// rewrites the envelope in place and sends from the receive buffer; runs that the kernel joined leave as runs
// again.
//
//   1. receive runs
//   2. cut each run into datagrams; anything but a relay envelope becomes an upcall
//   3. sender: the envelope's tag must be that of a member bound to exactly this endpoint, or of the member in
//      whose control connection it came
//   4. may the sender still send as much (dataplane/relay_quota.h)?
//   5. destination: a bound member; the envelope becomes {sender's id, destination's tag}
//   6. while the output is congested: has the sender had its share (dataplane/fair_share.h)?
//   7. neighbouring datagrams for one destination leave as one run

#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "dataplane/fair_share.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "model/counters.h"
#include "ports/udp.h"

namespace eps::dataplane {

// For so long after its first datagram a relay may get what was meant for the one before it, until members notice.
inline constexpr Duration kRelayBegins = std::chrono::seconds(10);

// Steps 3 to 7. REQUIRES: the datagrams stay in place until flush().
class Forwarder {
 public:
  Forwarder(ports::UdpPort& udp, Counters& counters) : udp_(udp), counters_(counters) {}
  // `datagram` is a relay envelope that arrived as `run` says. Drop::none: it leaves with the next flush().
  Drop forward(const RelayTable& table, const ports::RxDatagram& run, ByteSpan datagram, Instant now, Upcalls& upcalls);
  void flush(Instant now);

 private:
  void queue(const RelayMember& to, ByteSpan datagram, std::uint8_t traffic_class, std::size_t sent_before);
  FairShare& share_of(const Endpoint& to);
  void put_least_first(std::ptrdiff_t begin, std::ptrdiff_t end);

  ports::UdpPort& udp_;
  Counters& counters_;
  std::vector<ports::TxDatagram> out_;
  std::vector<std::size_t> sent_before_;  // per entry of out_: what its sender was granted before it, while that counts
  std::optional<Instant> began_;
  FairShare udp_share_;
  std::unordered_map<Endpoint, FairShare> stream_shares_;  // each control connection is an output of its own
};

// The server's data plane.
class Relay {
 public:
  Relay(ports::UdpPort& udp, Counters& counters) : udp_(udp), counters_(counters), forwarder_(udp, counters) {}
  // One batch; returns how many runs were received. `view` is the calling worker's.
  std::size_t pump(const PublishedRelay& published, PublishedRelay::View& view, Instant now, Upcalls& upcalls);

 private:
  void take_run(const RelayTable& table, const ports::RxDatagram& run, Instant now, Upcalls& upcalls);

  ports::UdpPort& udp_;
  Counters& counters_;
  Forwarder forwarder_;
};

}  // namespace eps::dataplane
