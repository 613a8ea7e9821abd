#pragma once

// What the data plane does not decide itself: it hands these to node/, which owns handshakes, paths and timers.

#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "model/way.h"
#include "ports/tap.h"
#include "ports/udp.h"

namespace eps::dataplane {

// How a datagram reached us.
struct Arrival {
  Endpoint from;               // the peer's endpoint, or the relay's
  ports::SocketId socket = 0;  // of ours
  MemberId relayed_from;       // the origin that the relay vouches for; value 0: it came directly
  MemberId relay;              // which relay, when it was relayed
  bool relayed() const { return relayed_from.value != 0; }
  Way way() const { return relayed() ? Way::through(relay) : Way::straight(from, socket); }
  bool operator==(const Arrival&) const = default;
};

// A datagram that is no data: handshakes, binds, cookies.
struct HandshakeDatagram {
  Arrival arrival;
  Bytes bytes;
};

// A sealed message of the path protocol that opened in the session `local_index` with `peer`.
struct PathControl {
  MemberId peer;
  std::uint32_t local_index = 0;
  Arrival arrival;
  Bytes bytes;
};

// A frame whose peer has no session or no path yet.
struct NeedSession {
  MemberId peer;
  Bytes frame;
  ports::FrameMeta meta;
};

// The first datagram of this session opened: the peer has proved that it holds the keys.
struct SessionConfirmed {
  MemberId peer;
  std::uint32_t local_index = 0;
};

// A data datagram for a session that we do not have, as when we restarted and the peer has not noticed.
struct UnknownSession {
  Arrival arrival;
};

// The first datagram to this peer after a second of silence: timers that slept must run again.
struct PeerWoke {
  MemberId peer;
};

// Something of the peer's opened that did not come by the path that we send by. Not more often than kStrayPause.
struct HeardElsewhere {
  MemberId peer;
  Arrival arrival;
};

// A member wants to be relayed to one that this node has no direct path to.
struct RelayWanted {
  MemberId to;
};

using Upcall = std::variant<HandshakeDatagram, PathControl, NeedSession, SessionConfirmed, UnknownSession, PeerWoke,
                            HeardElsewhere, RelayWanted>;

// Bounded: past kMaxUpcalls the newest is dropped and counted by whoever adds it. Handshakes and path messages have
// room of their own beyond what waiting frames may take.
inline constexpr std::size_t kMaxUpcalls = 1024;
inline constexpr std::size_t kMaxWaitingFrames = 256;
inline constexpr std::size_t kMaxUnknownSessions = 16;  // anybody can send these

class Upcalls {
 public:
  bool add(Upcall upcall) {
    const bool frame = std::holds_alternative<NeedSession>(upcall);
    const bool unknown = std::holds_alternative<UnknownSession>(upcall);
    if (items_.size() >= kMaxUpcalls || (frame && frames_ >= kMaxWaitingFrames) ||
        (unknown && unknown_ >= kMaxUnknownSessions)) {
      return false;
    }
    frames_ += frame ? 1 : 0;
    unknown_ += unknown ? 1 : 0;
    items_.push_back(std::move(upcall));
    return true;
  }
  bool empty() const { return items_.empty(); }
  std::vector<Upcall> take() {
    frames_ = unknown_ = 0;
    return std::exchange(items_, {});
  }

 private:
  std::vector<Upcall> items_;
  std::size_t frames_ = 0;
  std::size_t unknown_ = 0;
};

}  // namespace eps::dataplane
