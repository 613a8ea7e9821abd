// SPDX-License-Identifier: MIT
#pragma once

// The control channel's messages as validated values. Protobuf is seen in control_messages.cc only; whatever decode()
// returns keeps the limits of base/limits.h, and its texts are printable ASCII: they end up in logs and on terminals.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/run_set.h"
#include "model/features.h"
#include "model/network.h"
#include "model/network_lock.h"
#include "model/traffic_report.h"

namespace eps::wire {

inline constexpr std::size_t kMaxControlMessage = 65'000;  // encoded; a frame's length has 16 bits
inline constexpr std::size_t kMaxMembersPerDelta = 64;     // of one part: 64 members with 16 candidates each fit
inline constexpr std::size_t kMembersPerDelta = 48;        // members sent per part: with all grants as well
inline constexpr std::size_t kMaxRemovedPerDelta = 4096;   // of one part, besides its members
inline constexpr std::size_t kMaxSentence = 1024;
inline constexpr std::size_t kMaxWanted = 512;  // members that one client may ask for; the oldest goes first

struct Hello {
  std::string name;
  std::string version;
  std::uint64_t list_version = 0;
  bool relays = false;                                 // for other members
  Features features{};                                 // of the client's program
  std::optional<std::array<std::byte, 32>> root = {};  // of the records that it has
  std::uint64_t run = 0;                               // random, of this run of the program; 0: it has none
  RecoveryId recovery{};                               // from which list_version counts
};

struct Candidates {
  std::vector<Candidate> candidates;
};

struct Welcome {
  NetworkInfo network;
  Member self;
  std::uint16_t data_port = 0;
  std::array<std::byte, 32> bind_key{};
  std::uint32_t relay_tag = 0;
  std::string version;
  PublicKey signing_key;
  std::uint16_t also_port = 0;  // 0: none
  Features features{};          // of the server's program
  RecoveryId recovery{};        // from which the server's versions count
  // registry::signed_recovery_message(), if the client counts from another one.
  std::optional<std::array<std::byte, 64>> recovery_proof = {};
};

// One part of a delta.
struct MemberDelta {
  Delta delta;
  bool last = true;
  std::array<std::byte, 32> digest{};     // with the last part
  std::array<std::byte, 64> signature{};  // with the last part
};

// One part of a change of the members' stable fields; volatile fields are left out.
struct Records {
  Delta delta;  // `from`, `to` and `full` are in the last part
  bool last = true;
  std::array<std::byte, 32> root{};       // with the last part
  std::array<std::byte, 64> signature{};  // with the last part
  bool more = false;                      // with the last part: States follow that belong to the same change
};

// The volatile fields of one member.
struct MemberState {
  MemberId id;
  bool online = false;
  std::string version;
  bool relays = false;
  std::vector<Candidate> candidates;
};
struct States {
  bool all = false;        // members not named are offline
  bool on_demand = false;  // see Want
  std::vector<MemberState> states;
  std::vector<MemberId> online, offline;  // without any other state; in order
  bool more = false;                      // another part of the same change follows
  RunSet online_runs = {};                // instead of `online`, to encode many at once; decoded, they are in `online`
};
// The client communicates with these: it wants their states now, and whenever they change.
struct Want {
  std::vector<MemberId> members;
};

// The chain of the network lock, whole (registry/network_lock.h).
struct Lock {
  std::vector<Bytes> entries;
  bool more = false;  // Records follow that belong to the same change
};
struct LockProposed {
  std::uint32_t ticket = 0;  // comes back in the answer
  LockChange change;
};
struct LockAnswer {
  std::uint32_t ticket = 0;
  bool done = false;
  std::string sentence;  // what was done, or why nothing was
};

enum class RefusalCode : std::uint8_t { other = 0, unknown_key = 1, removed = 2, full = 3 };
struct Refused {
  RefusalCode code = RefusalCode::other;
  std::string sentence;
};

struct Ping {};
struct Pong {};
struct Resync {};  // the client's list does not match its digest: send the whole list
// Datagrams inside the control connection (dataplane/stream_port.h).
inline constexpr std::size_t kMaxRelayedPerMessage = 512;
struct Relay {
  std::vector<Bytes> datagrams;
};
struct RelayHere {
  bool here = false;
};
// New keys for the connection (control/channel.h).
inline constexpr std::size_t kMaxRekey = 128;
struct Rekey {
  Bytes handshake;  // empty, from the client: what follows is sealed with the new keys
};
struct RelayLimited {
  std::string limit;
};
struct ReportRequest {};   // the server asks for a TrafficReport
struct UnknownMessage {};  // from a newer version and not mandatory: skip it

using ControlMessage = std::variant<Hello, Candidates, Welcome, MemberDelta, Refused, Ping, Pong, Resync, ReportRequest,
                                    TrafficReport, Relay, RelayHere, RelayLimited, Records, States, Want, Lock,
                                    LockProposed, LockAnswer, Rekey, UnknownMessage>;

// REQUIRES: the limits are met; a sentence that is too long is cut.
Bytes encode(const ControlMessage& message);
// Errc::corrupt for invalid or oversized data; Errc::unsupported for an unknown mandatory message.
Result<ControlMessage> decode(ByteView bytes);

}  // namespace eps::wire
