// The LAN as node::Peers keeps it: who is where, what was broadcast for members without a session, and what was dropped
// for a reason of the LAN.

#include <algorithm>

#include "l2/source_guard.h"
#include "node/peers.h"

namespace eps::node {
namespace {

std::string of(const Member& m) {
  return m.name + " (" + to_string(m.address) + ")";
}

}  // namespace

void Peers::move_in(const Member& member, const Member* before) {
  if (before != nullptr && before->mac != member.mac) directory_.erase(before->mac);
  directory_.put({member.id, member.mac, member.address, member.online, member.grants.ranges, member.grants.bridge,
                  address6(member.mac)});
  directory_changed_ = true;
  // The kernel may remember who had the address. At the beginning it knows nobody.
  const bool moved = before == nullptr || before->mac != member.mac || before->address != member.address;
  if (moved && list_known_) directory_.announce(member.mac);
}

void Peers::move_out(const Member& member) {
  directory_.erase(member.mac);
  directory_changed_ = true;
}

// Those that the worker did not reach: by the sessions that have been made meanwhile at once, the others in turn.
void Peers::on(dataplane::ForTheSilent& frame, Instant now) {
  if (!silent_limit_.take(now, kSilentPause, kSilentBurst)) return counters_.drop(Drop::rate_limited);
  std::vector<MemberId> missing;
  for (auto& [id, peer] : peers_) {
    if (std::ranges::binary_search(frame.served, id)) continue;
    const bool sealing = peer.sessions.may_send(now) && route(peer).ready();
    if (sealing) {
      dataplane::NeedSession need{id, frame.frame, frame.meta};
      on(need, now);
    } else if (peer.member.online) {
      missing.push_back(id);
    }
  }
  counters_.drop(Drop::not_ready, broadcasts_.add({std::move(frame.frame), frame.meta}, std::move(missing), now));
  serve_the_silent(now);
}

void Peers::serve_the_silent(Instant now) {
  while (auto turn = broadcasts_.next(rng_, now)) {
    const Peer* peer = find(turn->to);
    if (peer == nullptr || !peer->member.online) continue;
    for (Broadcasts::Frame& frame : turn->frames) {
      dataplane::NeedSession need{turn->to, std::move(frame.bytes), frame.meta};
      on(need, now);
    }
  }
}

void Peers::on(dataplane::FrameRefused& refused, Instant now) {
  using What = l2::Refusal::What;
  const l2::Refusal& r = refused.refusal;
  const bool own = refused.from.value == 0;
  const Peer* peer = own ? nullptr : find(refused.from);
  if (!own && peer == nullptr) return;
  const Member& sender = own ? self_ : peer->member;
  const std::string& device = params_.device;
  const std::string who = own ? "this computer" : sender.name;
  const std::string where = own ? "on " + device : "from " + of(sender);
  const Peer* owner = find(refused.owner);
  const std::string address = to_string(r.address);
  std::string what, mend;
  switch (r.what) {
    case What::mac:
      what = "Dropped " + where + ": frames from " + to_string(r.mac) + ", which is not the MAC of " + who + " (" +
             to_string(sender.mac) + ").";
      if (owner != nullptr) {
        what.insert(what.size() - 1, " but of " + of(owner->member));
        mend = "Another way leads from here to that member: take " + (own ? device : "the interface") +
               " out of the bridge on one of the two computers.";
      } else {
        mend = "A bridge, macvlan or container behind " + (own ? device : "its interface") +
               "? Allow it on the server with: eps members allow " + sender.name +
               " bridge, or route or masquerade what is behind it.";
      }
      break;
    case What::router:
      what = "Dropped " + where + ": a router advertisement or redirect of " + address + ".";
      mend =
          "No member may become everybody's IPv6 router: stop radvd or dnsmasq on that interface, give addresses by "
          "hand, and allow them with: eps members allow NAME RANGE";
      break;
    case What::ip4:
    case What::arp:
    case What::ip6:
    case What::neighbour:
      what = "Dropped " + where + ": packets from " + address + ", which " + who + " does not own.";
      mend = owner != nullptr ? "It is the address of " + of(owner->member) + ": remove it here."
                              : "Allow it on the server with: eps members allow " + sender.name + " " + address +
                                    " (or a range around it), or masquerade what is behind " + who + ".";
      if (owner == nullptr && r.address.is_unspecified()) mend = "Give the interface an address.";
      break;
  }
  tell(std::move(what), std::move(mend), now);
}

void Peers::on(dataplane::LoopSeen& seen, Instant now) {
  const Peer* twin = find(seen.twin);
  tell("A loop: what this computer sends to all comes back to it through " + params_.device + ", which is in a bridge" +
           (twin == nullptr ? "" : " with a LAN where " + of(twin->member) + " is as well") +
           ". Broadcast and multicast through " + params_.device + " are blocked here for " +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(dataplane::kBlockFor).count()) + " s.",
       "Take " + params_.device + " out of the bridge on one of the two computers.", now);
}

void Peers::on(dataplane::TooManyGroupFrames& too_many, Instant now) {
  const Peer* peer = find(too_many.from);
  if (too_many.from.value != 0 && peer == nullptr) return;
  tell((peer == nullptr ? "This computer sends" : of(peer->member) + " sends") +
           " more broadcast or multicast than 1000 frames a second: the rest is dropped.",
       "A loop or a storm behind its interface? Look with: tcpdump -i " + params_.device + " ether multicast", now);
}

void Peers::tell(std::string what, std::string mend, Instant now) {
  if (auto line = findings_.note(std::move(what), std::move(mend), now)) notes_.push_back(std::move(*line));
}

}  // namespace eps::node
