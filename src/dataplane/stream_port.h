// SPDX-License-Identifier: MIT
#pragma once

// Datagrams inside the control connection, for members whose data socket the server does not know yet, or whose network
// blocks UDP to the server. Everything else works as with UDP: what is sent to "a stream", an endpoint in the
// discard-only prefix 0100::/64 (RFC 6666), is queued, with a bound, until the control thread has room for it in the
// TCP connection, and what arrives in the connection is received like a datagram from that endpoint.
//
// Nothing here waits for TCP: a full queue drops the newest datagram, and datagrams that waited longer than kMaxAge are
// dropped instead of sent, because they are useless by then. So a slow member delays nobody else, and TCP over TCP does
// not build up.

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/time.h"
#include "ports/udp.h"

namespace eps::dataplane {

// The stream of the member's control connection; on a client, the one to the server is that of kServerRelay.
Endpoint stream_endpoint(MemberId member);
bool is_stream(const Endpoint& endpoint);

class StreamPort final : public ports::UdpPort {
 public:
  static constexpr std::size_t kMaxQueued = 256 * 1024;   // waiting for one stream
  static constexpr std::size_t kMaxArrived = 512 * 1024;  // of one stream, waiting for the worker
  static constexpr std::size_t kMaxDatagram = 16 * 1024;  // to peers it is as large as the path (mesh/path_mtu.h)
  static constexpr std::size_t kMaxTaken = 32 * 1024;     // bytes for one control message
  static constexpr Duration kMaxAge = std::chrono::milliseconds(250);

  // `on_queued`: something waits for a stream; called by any thread, once until the next take_waiting(). `on_arrived`:
  // something waits for receive(); called by the thread of arrive().
  StreamPort(ports::UdpPort& udp, std::function<void()> on_queued, std::function<void()> on_arrived)
      : udp_(udp), on_queued_(std::move(on_queued)), on_arrived_(std::move(on_arrived)) {}

  std::size_t receive(std::span<ports::RxDatagram> out) override;
  bool drained() const override { return udp_.drained(); }
  std::uint64_t take_overruns() override { return udp_.take_overruns(); }
  std::uint64_t take_looped() override { return udp_.take_looped(); }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override { return send_by(udp_, datagrams); }
  std::optional<Side> open_side() override { return udp_.open_side(); }
  void close_side(ports::SocketId socket) override { udp_.close_side(socket); }

  // The same streams with another of the UDP port's queues, for another thread. Only the StreamPort itself receives
  // what arrives on the streams.
  class Queue final : public ports::UdpPort {
   public:
    // Both outlive it.
    Queue(StreamPort& streams, ports::UdpPort& udp) : streams_(streams), udp_(udp) {}
    std::size_t receive(std::span<ports::RxDatagram> out) override { return receive_from(udp_, out); }
    bool drained() const override { return udp_.drained(); }
    std::uint64_t take_overruns() override { return udp_.take_overruns(); }
    std::uint64_t take_looped() override { return udp_.take_looped(); }
    std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
      return streams_.send_by(udp_, datagrams);
    }
    std::optional<Side> open_side() override { return udp_.open_side(); }
    void close_side(ports::SocketId socket) override { udp_.close_side(socket); }

   private:
    StreamPort& streams_;
    ports::UdpPort& udp_;
  };

  // For the control thread. What is sent to a stream that is not open is lost.
  void open(MemberId member);
  // Returns how many datagrams waited for it and are lost.
  std::size_t close(MemberId member);
  // The streams for which something waits. Datagrams begin to age when this is called, so call it even without room.
  std::vector<MemberId> take_waiting(Instant now);
  // Whether something waits for this one.
  bool waits(MemberId member) const;
  // Takes at most `room` bytes off a queue, oldest first, or one datagram that is larger; and no more than one message
  // may hold: call again when that has left. `too_old` counts what was dropped instead.
  std::vector<Bytes> take(MemberId member, std::size_t room, Instant now, std::size_t& too_old);
  // Datagrams arrived in the control connection. Returns how many found room.
  std::size_t arrive(MemberId member, std::vector<Bytes> datagrams);

 private:
  struct Queued {
    Bytes bytes;
    Instant since = kNever;  // when the control thread first saw it; senders have no clock
  };
  struct Stream {
    void look(Instant now);
    std::list<Queued> queue;  // an empty deque takes 600 bytes
    std::size_t queued = 0;   // bytes
    std::size_t arrived = 0;  // bytes in arrived_
  };
  struct Arrived {
    MemberId member;
    Bytes bytes;
  };
  static std::size_t receive_from(ports::UdpPort& udp, std::span<ports::RxDatagram> out);
  std::size_t send_by(ports::UdpPort& udp, std::span<const ports::TxDatagram> datagrams);
  std::size_t enqueue(const ports::TxDatagram& run);

  ports::UdpPort& udp_;
  std::function<void()> on_queued_;
  std::function<void()> on_arrived_;
  mutable Mutex mutex_;
  std::unordered_map<MemberId, Stream> streams_ EPS_GUARDED_BY(mutex_);  // open ones
  std::set<MemberId> waiting_ EPS_GUARDED_BY(mutex_);                    // those with something in their queue
  std::deque<Arrived> arrived_ EPS_GUARDED_BY(mutex_);
  bool told_ EPS_GUARDED_BY(mutex_) = false;   // on_queued was called
  std::atomic<std::size_t> arrived_count_{0};  // saves the receiver the lock
  std::vector<Arrived> lent_;                  // what the last receive() returned; the receiver's
};

}  // namespace eps::dataplane
