// SPDX-License-Identifier: MIT
#pragma once

// The rule that no member speaks in another's name: every frame, before it is sealed and after it is opened, names its
// owner wherever Ethernet, IP, ARP or neighbour discovery names a source.

#include <span>

#include "base/bytes.h"
#include "base/ip_network.h"
#include "base/types.h"
#include "l2/parse.h"
#include "model/counters.h"

namespace eps::l2 {

struct Inner;

// The link-local address that follows from a MAC (RFC 4291, appendix A): the IPv6 address that every member has.
IpAddress eui64_link_local(const Mac& mac);

// Identities of members other than the owner of a frame: theirs alone, whatever ranges the owner may use, and whatever
// machines are behind it.
class Others {
 public:
  Others() = default;
  Others(const Others&) = delete;
  Others& operator=(const Others&) = delete;
  virtual bool hold(const Mac& mac) const = 0;
  virtual bool hold(const IpAddress& address) const = 0;

 protected:
  ~Others() = default;
};

// What a member may send as a DHCP server.
enum class DhcpRight : std::uint8_t {
  none,
  addresses,  // offers of addresses of the network by DHCP for IPv4, without anything that would lead traffic elsewhere
  all,
};

// The identity of a member on the link.
struct Owner {
  Mac mac;
  Ip4 ip;
  std::span<const IpNetwork> further = {};  // ranges that it may use, but for the addresses of others
  const Others* others = nullptr;           // null: there are none
  IpAddress ip6 = {};                       // unspecified: only the link-local one
  bool bridge = false;                      // machines behind it may have any MAC and address but those of others
  DhcpRight dhcp = DhcpRight::none;
  Ip4Network network = {};  // with DhcpRight::addresses
};

// The claim of a refused frame, for the sentence that reports it.
struct Refusal {
  // Never allowed to members (router), or only to members that may bridge: queries for groups (querier), frames from
  // bridge to bridge (bridge), headers that hide the source (hidden), or to DHCP servers that are allowed (dhcp). Of
  // one that is not, dhcp_options: it passed, without its options.
  enum class What : std::uint8_t { mac, ip4, arp, ip6, neighbour, router, querier, bridge, hidden, dhcp, dhcp_options };
  What what = What::mac;
  Mac mac;            // the source of the frame
  IpAddress address;  // the claimed one; unspecified for a MAC
  std::uint16_t ethertype = 0;
};

// Drop::none if the frame may come from this member.
//   Ethernet   the source is a MAC of the owner.
//   IPv4       the source is an address of the owner, or 0.0.0.0 of a DHCP client (RFC 2131, section 4.1)
//              and in IGMP (RFC 3376, section 4.2.13).
//   ARP        Ethernet/IPv4 only; the sender is the owner, its protocol address may be 0.0.0.0 (a probe, RFC 5227).
//   IPv6       the source is an address of the owner, or :: (RFC 4862, MLD).
//   ICMPv6     in neighbour discovery (RFC 4861) the link-layer options hold a MAC of the owner; an address that is
//              advertised, or asked for from :: (duplicate address detection), belongs to the owner. Fragments of it
//              are refused (RFC 6980), and so are first fragments that hide what they carry (RFC 7112).
//   routers    no member is a router: router advertisements and redirects (RFC 4861; RFC 792; RFC 1256) are refused,
//              including those in fragments and behind an authentication header (RFC 4302).
//   two tags   a VLAN tag within a VLAN tag hides a source, so it is refused as malformed; so are IP and ARP behind the
//              SNAP header of 802.2 (RFC 1042), as which some systems still take them.
//   DHCP       answers of servers, also in fragments, are refused as the owner's DhcpRight says. Whatever passes with
//              DhcpRight::addresses still has to be cut by the receiver (l2/dhcp.h).
// And from members that may not bridge:
//   queries    of IGMP and MLD, by which a multicast router is chosen.
//   control    frames to the groups that no bridge passes on (IEEE 802.1Q, table 8-1: spanning tree, LACP, 802.1X),
//              LLDP excepted, and to those of Cisco's (PVST+, CDP).
//   headers    behind which a source is not seen: MPLS, 802.1ah, and the tags before 802.1ad (0x9100, 0x9200, 0x9300).
// Any other EtherType passes. The result is spoofed_source, which fills `why`, or malformed for what cannot be read.
Drop check_source(ByteView frame, const FrameInfo& info, const Owner& owner, Refusal* why = nullptr);
// The same for what decode() gave.
Drop check_source(const Inner& inner, const Owner& owner, Refusal* why = nullptr);

}  // namespace eps::l2
