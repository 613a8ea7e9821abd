// SPDX-License-Identifier: MIT
#pragma once

// The messages that two members use to find the ways between them, and to say which multicast they take: sealed in
// their session (wire Kind::control), by any way.
//
//   ping       | op 1 | id 64 | zeros 144 |
//   pong       | op 2 | id 64 | ip 128 | port 16 |       as large as the ping, by the way it came; where it came from,
//                                                        zero when it came through a relay
//   counted ping | op 16 | id 64 | zeros 208 |           like ping and pong, between peers that both have the feature:
//   counted pong | op 17 | id 64 | ip 128 | port 16 | arrived 32 | lost here 32 |
//                                                        how many datagrams of the sender have arrived so far the way
//                                                        the ping did (directly, or by a relay), and how many of any
//                                                        sender this node had to drop because it was too slow
//   call       | op 3 | flags 8 | NAT 8 | candidates |   I am sending to you, send to me; these are my candidates.
//                                                        flag 1: forget the direct ways that you know, I have moved;
//                                                        flag 2: I begin to guess ports (port_guess.h), do your part
//   find       | op 4 | member 24 | candidates |         I am looking for this member: can you reach it? I am here
//   introduce  | op 5 | member 24 | candidates |         this member is looking for you, or: it is there
//   offer      | op 6 | tag 32 |                         I relay for you: put this tag into the envelope
//   size ping  | op 7 | id 64 | zeros ... |              padded to the size to be tested and never fragmented;
//                                                        between peers with Feature::path_mtu
//   size pong  | op 8 | id 64 |                          it arrived; by the way it came
//   groups     | op 18 | all 8 | n times: MAC 48 |       all multicast is welcome (1), or only these groups (0);
//                                                        between peers with Feature::groups
//
//   candidates | n 8 | n times: kind 8, ip 128, port 16 |

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "model/group_filter.h"
#include "model/nat.h"
#include "model/network.h"

namespace eps::mesh {

struct PingMessage {
  std::uint64_t id = 0;
  bool counted = false;
};
struct PongMessage {
  std::uint64_t id = 0;
  Endpoint seen_from;
  struct Counts {
    std::uint32_t arrived = 0;
    std::uint32_t lost_here = 0;
    bool operator==(const Counts&) const = default;
  };
  std::optional<Counts> counts = std::nullopt;
};
struct CallMessage {
  bool moved = false;
  bool guessing = false;
  NatMapping nat = NatMapping::unknown;  // of the sender
  std::vector<Candidate> candidates;
};
struct FindMessage {
  MemberId member;
  std::vector<Candidate> candidates;  // the sender's
};
struct IntroduceMessage {
  MemberId member;
  std::vector<Candidate> candidates;  // that member's
};
struct OfferMessage {
  std::uint32_t tag = 0;
};
struct SizePingMessage {
  std::uint64_t id = 0;
  std::size_t padding = 0;
};
struct SizePongMessage {
  std::uint64_t id = 0;
};
inline constexpr std::size_t kSizePingSize = 9;  // without padding
// REQUIRES: at most kMaxFilteredGroups
struct GroupsMessage {
  GroupFilter filter;
};

using PathMessage = std::variant<PingMessage, PongMessage, CallMessage, FindMessage, IntroduceMessage, OfferMessage,
                                 SizePingMessage, SizePongMessage, GroupsMessage>;

// Candidates beyond kMaxCandidates are left out.
Bytes encode(const PathMessage& message);
// nullopt if the message is truncated, too long or unknown, or a number in it is out of range.
std::optional<PathMessage> decode_path_message(ByteView bytes);

}  // namespace eps::mesh
