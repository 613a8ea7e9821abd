#pragma once

// The server's relay: moves sealed datagrams between members whose endpoints it has authenticated. It rewrites the
// envelope in place and sends from the receive buffer; runs that the kernel put together leave as runs again.
//
//   1. receive runs
//   2. cut each run into datagrams; whatever is no relay envelope becomes an upcall
//   3. sender: the envelope's tag must be that of a member bound to exactly this endpoint
//   4. destination: a bound member; the envelope becomes {sender's id, destination's tag}
//   5. neighbours for one destination leave as one run

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "dataplane/upcall.h"
#include "model/counters.h"
#include "ports/udp.h"

namespace eps::dataplane {

struct RelayMember {
  MemberId id;
  std::uint32_t tag = 0;
  Endpoint endpoint;                   // bound by an authenticated request
  std::shared_ptr<Counters> counters;  // forwarded: from this member; sent: to it
};

struct RelayTable {
  std::unordered_map<std::uint32_t, RelayMember> by_tag;
  std::unordered_map<MemberId, std::uint32_t> tag_of;
};

class Relay {
 public:
  Relay(ports::UdpPort& udp, Counters& counters) : udp_(udp), counters_(counters) {}
  // One batch; returns how many runs were received.
  std::size_t pump(const RelayTable& table, Upcalls& upcalls);

 private:
  void take_run(const RelayTable& table, const ports::RxDatagram& run, Upcalls& upcalls);
  Drop forward(const RelayTable& table, const Endpoint& from, ByteSpan datagram);
  void queue(const Endpoint& to, ByteSpan datagram);

  ports::UdpPort& udp_;
  Counters& counters_;
  std::vector<ports::TxDatagram> out_;
};

}  // namespace eps::dataplane
