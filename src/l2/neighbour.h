// SPDX-License-Identifier: MIT
#pragma once

// Messages that a computer sends to its link rather than to a program elsewhere: which address belongs to which MAC
// (ARP, neighbour discovery), which groups it listens to (IGMP, MLD), whether there is a router. The member list has
// the answer to the first, so this node answers such questions itself.

#include <array>
#include <cstddef>
#include <span>

#include "base/bytes.h"
#include "base/types.h"
#include "l2/parse.h"

namespace eps::l2 {

struct LinkMessage {
  enum class Kind {
    none,          // an ordinary frame
    question,      // who has `about`? (RFC 826; neighbour solicitation, RFC 4861, also the unicast one that asks again)
    probe,         // does anybody have `about`? I am about to use it (RFC 5227; RFC 4862, section 5.4)
    announcement,  // I have `about` (gratuitous ARP; a neighbour advertisement to all)
    router_search,  // router solicitation
    membership,     // groups joined or left (IGMP and MLD reports)
    query,          // from a multicast router: which groups have listeners?
  };
  Kind kind = Kind::none;
  IpAddress about;           // of the first three
  IpAddress asker;           // the address for the answer; unspecified in a probe
  bool beyond_link = false;  // of a membership: one of its groups is not one of the link itself
};

// Reads a frame that check_source() has accepted; kind none for anything but a complete message of these kinds.
LinkMessage read_link_message(ByteView frame, const FrameInfo& info);

// Groups of the link itself are 224.0.0.0/24, and IPv6 ones of the scope of a link or less: switches pass them to
// everybody (RFC 4541, sections 2.1.2 and 3). Each kernel joins some; other groups are joined by programs.
bool is_beyond_link(const IpAddress& group);
// Whether a frame concerns only those that listen to its group: IP multicast beyond the link. `ip`: the IP header.
bool is_for_listeners(const FrameInfo& info, const std::byte* ip);

// A frame of this kind: with one VLAN tag, the largest of them is a neighbour advertisement.
inline constexpr std::size_t kMaxLinkFrame = kEthernetSize + kVlanTagSize + kIp6Size + 32;
using LinkFrame = std::array<std::byte, kMaxLinkFrame>;

// The owner's answer to a question or probe, as if it had come from the owner itself, in the VLAN of the question.
// REQUIRES: `message` was read from `question`, and is a question or a probe.
ByteView write_answer(ByteView question, const FrameInfo& info, const LinkMessage& message, const Mac& owner,
                      LinkFrame& out);
// Announces on the link that `owner` has `address` now: a gratuitous ARP request, or an unsolicited advertisement that
// overrides. It corrects what a computer has cached; it does not add entries.
ByteView write_announcement(const IpAddress& address, const Mac& owner, LinkFrame& out);
// Shows every switch on the way where a machine is, as a hypervisor does for one that it has moved: a request of RARP
// (RFC 903) for its own address to everybody, which nobody answers. From the source of `heard`, and in its VLAN.
ByteView write_presence(ByteView heard, const FrameInfo& info, LinkFrame& out);

}  // namespace eps::l2
