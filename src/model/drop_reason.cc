// SPDX-License-Identifier: MIT
#include "model/drop_reason.h"

#include <algorithm>
#include <array>

namespace eps {
namespace {

using enum DropReason::Telling;

constexpr std::array kReasons = std::to_array<DropReason>({
    {Drop::malformed, "malformed", "does not parse; anybody can send such datagrams",
     "See who sends them: tcpdump -n udp port PORT; a firewall in front can drop them.", often, 60},
    {Drop::unknown_session, "unknown_session", "for a session that has ended, or for another computer",
     "One of the two restarts again and again, a member's clone answers in its place, or a peer looks for another "
     "computer here: two behind one router must not have the same udp-port."},
    {Drop::bad_tag, "bad_tag", "failed authentication: damaged or forged",
     "Something on the way alters datagrams, or somebody forges them."},
    {Drop::replayed, "replayed", "seen before, or too far behind",
     "The network duplicates or delays datagrams, or a member runs twice or from an old copy of its state."},
    {Drop::expired, "expired", "its session had expired, or the relay was started again since", "", never},
    {Drop::spoofed_source, "spoofed_source", "a member sent from an address that is not its own",
     "A bridge or a router behind the interface? A member may send from its own addresses only.", always},
    {Drop::wrong_destination, "wrong_destination", "a frame for somebody else", ""},
    {Drop::no_peer, "no_peer", "a frame that no member wants: its destination is offline, or no member's MAC",
     "See who is asked for: tcpdump -en -i eps0; who is offline is in eps peers."},
    {Drop::not_ready, "not_ready", "too many frames waited for a session, or waited in vain",
     "See eps peers for who has no path, and eps why NAME for the cause."},
    {Drop::congested, "congested", "a bounded queue, or the kernel's buffer for sending, was full",
     "This computer or its uplink is slower than what is sent.", always},
    {Drop::overrun, "overrun",
     "the kernel's buffer for receiving was full: datagrams came faster than this computer took them; a run that the "
     "kernel had put together counts once",
     "It is overloaded, or its receive buffer is small: without CAP_NET_ADMIN the sysctl net.core.rmem_max limits it.",
     always},
    {Drop::unauthorised, "unauthorised",
     "a relay, or an answer about this computer's endpoint, that does not prove where it belongs",
     "Usual where somebody answers from another address than the one asked, such as a server with several: upgrade it, "
     "or give --server the address that its answers come from.",
     often, 1},
    {Drop::rate_limited, "rate_limited",
     "a handshake beyond those that this computer answers while it is flooded with them, a frame to a group beyond "
     "1,000 a "
     "second of one member, or a member's request for another path beyond two a second",
     "Many peers begin at once, or somebody floods: tcpdump -n udp port PORT."},
    {Drop::oversized, "oversized",
     "too large to be sent even in pieces, or to be relayed inside a member's control connection",
     "Open UDP to the server for that member, then its datagrams are relayed whole.", always},
    {Drop::looped, "looped", "EPS traffic that a route led into an EPS interface, or that came through one",
     "Look for a route, a rule, a bridge or another tunnel that sends it there: ip route get ADDRESS mark 0x45500000",
     always},
    {Drop::interface_down, "interface_down", "a frame from a peer while this computer's EPS interface is down",
     "ip link set eps0 up"},
    {Drop::incomplete, "incomplete", "a frame that was sent in pieces, of which some were lost on the way",
     "The path loses datagrams: eps ping NAME shows how many."},
    {Drop::bridge_loop, "bridge_loop", "broadcast or multicast while a loop was there",
     "Two bridges join the same LANs: take eps0 out of one of them."},
    {Drop::policy, "policy", "the network's policy does not allow it",
     "eps policy show says which rules dropped how much, and eps why NAME which one concerns a member.", never},
    {Drop::relay_limit, "relay_limit", "a member sent more through this relay than --relay-limit lets it",
     "Raise the limit, or open a direct path: eps why NAME on that member says what is missing.", never},
    {Drop::other_psk, "other_psk", "a handshake of a member with another pre-shared key, or of one that has none",
     "eps why NAME says on which side to change the key.", never},
});

constexpr bool in_order() {
  for (std::size_t i = 0; i < kReasons.size(); ++i) {
    if (static_cast<std::size_t>(kReasons[i].drop) != i + 1) return false;
  }
  return true;
}
static_assert(kReasons.size() + 1 == static_cast<std::size_t>(Drop::kCount) && in_order(), "each has its line");

}  // namespace

std::span<const DropReason> drop_reasons() {
  return kReasons;
}

const DropReason* find_drop_reason(std::string_view name) {
  const auto it = std::ranges::find(kReasons, name, [](const DropReason& r) { return std::string_view(r.name); });
  return it == kReasons.end() ? nullptr : &*it;
}

const char* name_of(Drop drop) {
  const auto at = static_cast<std::size_t>(drop);
  return at == 0 ? "none" : at <= kReasons.size() ? kReasons[at - 1].name : "unknown";
}

}  // namespace eps
