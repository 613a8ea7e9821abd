// SPDX-License-Identifier: MIT
#pragma once

// What the data plane does not decide itself: it passes these to node/, which owns handshakes, paths and timers.

#include <array>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/types.h"
#include "dataplane/flow_guard.h"
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
  MemberId relay;              // which relay, if it was relayed
  bool relayed() const { return relayed_from.value != 0; }
  Way way() const { return relayed() ? Way::through(relay) : Way::straight(from, socket); }
  bool operator==(const Arrival&) const = default;
};

// A datagram other than data: handshakes, binds, cookies.
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
  std::uint32_t arrived = 0;  // number of the peer's datagrams opened so far on this path, including this one:
                              // directly, or by a relay
};

// A frame whose peer has no session or no path yet.
struct NeedSession {
  MemberId peer;
  Bytes frame;
  ports::FrameMeta meta;
};

// A broadcast that was sent to members with a session. The others are up to node/, as each costs a handshake.
struct ForTheSilent {
  Bytes frame;
  ports::FrameMeta meta;
  std::vector<MemberId> served;  // ascending
};

// A frame named a source that does not belong to its sender. At most once per second and worker.
struct FrameRefused {
  MemberId from;  // value 0: this computer's interface
  l2::Refusal refusal;
  MemberId owner;  // of the MAC or address, if another member owns it
};

// The policy does not let a frame pass, to or from the peer. At most once per second and worker.
struct PolicyDropped {
  MemberId peer;
  Heading heading = Heading::out;
  std::uint16_t rule = 0;
};

// What this computer sent came back to it, so frames to groups are blocked for a while.
struct LoopSeen {
  MemberId twin;  // a member that bridges the same LAN; value 0: unknown
  Mac frame_to;
};

// A member exceeds its limit for frames to groups. At most once per second and worker.
struct TooManyGroupFrames {
  MemberId from;  // value 0: this computer
};

// A peer with Feature::groups sent multicast that nobody here listens to, as far as known. At most once per second and
// peer.
struct UnwantedGroup {
  MemberId peer;
};

// The kernel reported the groups that it listens to, or no longer does.
struct GroupsReported {};

// The first datagram of this session opened: the peer has proved that it has the keys.
struct SessionConfirmed {
  MemberId peer;
  std::uint32_t local_index = 0;
  Arrival arrival = {};   // of that datagram
  bool by_frame = false;  // it was a frame rather than a path message
};

// A data datagram for an unknown session, as when we restarted and the peer has not noticed.
struct UnknownSession {
  Arrival arrival;
};

// The first datagram to this peer after a second of silence: sleeping timers must run again.
struct PeerWoke {
  MemberId peer;
};

// Something from the peer opened that did not come on the path that we send on. At most once per kStrayPause.
struct HeardElsewhere {
  MemberId peer;
  Arrival arrival;
};

// A member sends more through this relay than it may. Once, until RelayQuota::end_telling().
struct RelayLimited {
  MemberId from;
};

// A member wants to be relayed to one that this node has no direct path to.
struct RelayWanted {
  MemberId to;
};

// This computer asks for an address that no member has: the list may be old.
struct NobodyHas {};

// This computer asks for an address of a member that is absent, and gets no answer.
struct AbsentWanted {
  MemberId owner;
};

using Upcall = std::variant<HandshakeDatagram, PathControl, NeedSession, SessionConfirmed, UnknownSession, PeerWoke,
                            HeardElsewhere, RelayWanted, ForTheSilent, FrameRefused, LoopSeen, TooManyGroupFrames,
                            PolicyDropped, UnwantedGroup, GroupsReported, NobodyHas, RelayLimited, AbsentWanted>;

// Bounded per kind, so that none crowds out another. The caller drops and counts what does not fit.
// SessionConfirmed and PeerWoke, which are not repeated soon, have room for every member.
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
  static constexpr std::size_t room_for(const PolicyDropped&) { return 16; }
  static constexpr std::size_t room_for(const TooManyGroupFrames&) { return 16; }
  static constexpr std::size_t room_for(const UnwantedGroup&) { return 256; }
  static constexpr std::size_t room_for(const GroupsReported&) { return 1; }
  static constexpr std::size_t room_for(const NobodyHas&) { return 1; }
  static constexpr std::size_t room_for(const RelayLimited&) { return kMaxMembers; }
  static constexpr std::size_t room_for(const AbsentWanted&) { return 64; }

  std::vector<Upcall> items_;
  std::array<std::size_t, std::variant_size_v<Upcall>> counts_{};
};

// Only a notification of something already counted, or repeated with the next datagram: its loss is not counted.
inline bool is_hint(const Upcall& upcall) {
  return std::holds_alternative<UnknownSession>(upcall) || std::holds_alternative<HeardElsewhere>(upcall) ||
         std::holds_alternative<RelayWanted>(upcall) || std::holds_alternative<FrameRefused>(upcall) ||
         std::holds_alternative<LoopSeen>(upcall) || std::holds_alternative<TooManyGroupFrames>(upcall) ||
         std::holds_alternative<PolicyDropped>(upcall) || std::holds_alternative<UnwantedGroup>(upcall) ||
         std::holds_alternative<GroupsReported>(upcall) || std::holds_alternative<NobodyHas>(upcall) ||
         std::holds_alternative<AbsentWanted>(upcall);
}

}  // namespace eps::dataplane
