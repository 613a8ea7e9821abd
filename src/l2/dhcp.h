// SPDX-License-Identifier: MIT
#pragma once

// Answers of DHCP servers (RFC 2131, RFC 8415), which configure other members. The first answer wins, so a rogue server
// could become the router and the name server of a whole LAN.

#include "base/bytes.h"
#include "base/ip_network.h"
#include "l2/parse.h"

namespace eps::l2 {

struct Inner;

// Whether the IPv4 packet, whose frame offset is info.l3_offset, is an answer to a DHCP client or to a relay agent:
// also the first fragment of one, and a fragment that cannot be distinguished from it.
bool is_dhcp4_answer(ByteView packet, const FrameInfo& info);
// Likewise for DHCPv6, and the beginning of a datagram behind the IPv6 headers.
bool is_dhcp6_answer(ByteView datagram);

// Whether an answer (RFC 2131, figure 1) is well-formed and gives no address, or one of the network with a mask that
// is no shorter than the network's.
bool offers_address_of(const Ip4Network& network, ByteView answer);

// REQUIRES for the following: the frame passed check_source() with DhcpRight::addresses.
//
// Whether it is an answer with more than an address and the time for which it is leased.
bool gives_more_than_addresses(ByteView frame, const FrameInfo& info);
// Takes everything else out of an answer, in place: routers, routes, name servers, boot files. The checksum fits
// again. False: it is no answer, or there was nothing else.
bool keep_only_addresses(Inner& inner);

}  // namespace eps::l2
