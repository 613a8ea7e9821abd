// SPDX-License-Identifier: MIT
#pragma once

// What the data plane does not decide itself: it hands these to node/, which owns handshakes, paths and timers.

#include <array>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/types.h"
#include "l2/source_guard.h"
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
  std::uint32_t arrived = 0;  // how many datagrams of the peer have opened so far that came as this one, it included:
                              // directly, or by a relay
};

// A frame whose peer has no session or no path yet.
struct NeedSession {
  MemberId peer;
  Bytes frame;
  ports::FrameMeta meta;
};

// A frame for everybody, which those with a session have been sent. The others are node/'s: each costs a handshake.
struct ForTheSilent {
  Bytes frame;
  ports::FrameMeta meta;
  std::vector<MemberId> served;  // ascending
};

// A frame named a source that is not its sender's. Not more often than once a second and worker.
struct FrameRefused {
  MemberId from;  // value 0: this computer's interface
  l2::Refusal refusal;
  MemberId owner;  // of the MAC or address, where it is another member's
};

// What this computer sent came back to it, so that frames to groups are blocked for a while.
struct LoopSeen {
  MemberId twin;  // a member that bridges the same LAN; value 0: unknown
  Mac frame_to;
};

// A member sends more to groups than it may. Not more often than once a second and worker.
struct TooManyGroupFrames {
  MemberId from;  // value 0: this computer
};

// The first datagram of this session opened: the peer has proved that it holds the keys.
struct SessionConfirmed {
  MemberId peer;
  std::uint32_t local_index = 0;
  Arrival arrival = {};   // of that datagram
  bool by_frame = false;  // it was a frame, not a path message
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
                            HeardElsewhere, RelayWanted, ForTheSilent, FrameRefused, LoopSeen, TooManyGroupFrames>;

// Bounded, each kind for itself, so that none takes the room of another. What finds no room is dropped and counted by
// whoever adds it. SessionConfirmed and PeerWoke, which are not said again at once, have room for every member.
class Upcalls {
 public:
  bool add(Upcall upcall) {
    std::size_t& count = counts_[upcall.index()];
    if (count >= std::visit([](const auto& u) { return room_for(u); }, upcall)) return false;
    ++count;
    items_.push_back(std::move(upcall));
    return true;
  }
  bool empty() const { return items_.empty(); }
  std::vector<Upcall> take() {
    counts_ = {};
    return std::exchange(items_, {});
  }

 private:
  static constexpr std::size_t room_for(const HandshakeDatagram&) { return 1024; }
  static constexpr std::size_t room_for(const PathControl&) { return 1024; }
  static constexpr std::size_t room_for(const NeedSession&) { return 256; }
  static constexpr std::size_t room_for(const SessionConfirmed&) { return kMaxMembers; }
  static constexpr std::size_t room_for(const UnknownSession&) { return 16; }  // anybody can send these
  static constexpr std::size_t room_for(const PeerWoke&) { return kMaxMembers; }
  static constexpr std::size_t room_for(const HeardElsewhere&) { return 256; }
  static constexpr std::size_t room_for(const RelayWanted&) { return 64; }
  static constexpr std::size_t room_for(const ForTheSilent&) { return 64; }
  static constexpr std::size_t room_for(const FrameRefused&) { return 16; }
  static constexpr std::size_t room_for(const LoopSeen&) { return 4; }
  static constexpr std::size_t room_for(const TooManyGroupFrames&) { return 16; }

  std::vector<Upcall> items_;
  std::array<std::size_t, std::variant_size_v<Upcall>> counts_{};
};

// Only tells of something, which has been counted or is told again with the next datagram: no loss to count.
inline bool is_hint(const Upcall& upcall) {
  return std::holds_alternative<UnknownSession>(upcall) || std::holds_alternative<HeardElsewhere>(upcall) ||
         std::holds_alternative<RelayWanted>(upcall) || std::holds_alternative<FrameRefused>(upcall) ||
         std::holds_alternative<LoopSeen>(upcall) || std::holds_alternative<TooManyGroupFrames>(upcall);
}

}  // namespace eps::dataplane
