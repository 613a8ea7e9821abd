#pragma once

// The rule that no member speaks in another's name: every frame, before it is sealed and after it is opened, names its
// owner wherever Ethernet, IP, ARP or neighbour discovery names a source.

#include "base/bytes.h"
#include "base/types.h"
#include "l2/parse.h"
#include "model/counters.h"

namespace eps::l2 {

struct Inner;

// The link-local address that follows from a MAC (RFC 4291, appendix A): the only IPv6 address a member has.
IpAddress eui64_link_local(const Mac& mac);

// Drop::none if the frame may come from the member who owns `owner_mac` and `owner_ip`.
//   Ethernet   the source is the owner's MAC.
//   IPv4       the source is the owner's address.
//   ARP        Ethernet/IPv4 only; the sender is the owner, its protocol address may be 0.0.0.0 (a probe, RFC 5227).
//   IPv6       the source is the owner's link-local address, or :: (RFC 4862, MLD).
//   ICMPv6     in neighbour discovery (RFC 4861) the link-layer options hold the owner's MAC; what is advertised, and
//              what is asked for from :: (duplicate address detection), is the owner's address. Fragments of it are
//              refused (RFC 6980).
//   two tags   a VLAN tag within a VLAN tag hides a source, so it is refused as malformed.
// Any other EtherType passes. The result is spoofed_source, or malformed for what cannot be read.
Drop check_source(ByteView frame, const FrameInfo& info, const Mac& owner_mac, Ip4 owner_ip);
// The same for what decode() gave.
Drop check_source(const Inner& inner, const Mac& owner_mac, Ip4 owner_ip);

}  // namespace eps::l2
