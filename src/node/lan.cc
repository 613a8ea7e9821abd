// SPDX-License-Identifier: MIT
#include "node/lan.h"

#include <cctype>
#include <chrono>

#include "l2/source_guard.h"

namespace eps::node {
namespace {

std::string of(const Member& m) {
  return m.name + " (" + to_string(m.address) + ")";
}

}  // namespace

void Lan::move_in(const Member& member, const Member* before, const IpAddress& address6) {
  if (before != nullptr && before->mac != member.mac) directory_.erase(before->mac);
  directory_.put({member.id, member.mac, member.address, member.online, member.grants.ranges, member.grants.bridge,
                  address6, member.grants.may_serve_dhcp()});
  changed_ = true;
  // The kernel may remember who had the address. At the start it knows nobody.
  if (before != nullptr && before->grants != member.grants) on_grants(member);
  const bool moved = before == nullptr || before->mac != member.mac || before->address != member.address;
  const bool awaited = member.online && wanted_.erase(member.id) != 0;
  if (awaited || (moved && list_known_)) directory_.announce(member.mac);
}

void Lan::move_out(const Member& member) {
  directory_.erase(member.mac);
  wanted_.erase(member.id);
  changed_ = true;
}

void Lan::on(const dataplane::AbsentWanted& wanted) {
  if (wanted_.size() < kMaxAbsentWanted) wanted_.insert(wanted.owner);
}

void Lan::fill(dataplane::NetworkView& view) {
  if (std::exchange(changed_, false)) published_ = std::make_shared<const dataplane::Directory>(directory_);
  view.directory = published_;
  view.groups = groups_;
  view.stations = stations_;
}

void Lan::on(const dataplane::FrameRefused& refused, const Member& sender, const Member* owner, bool outside,
             Instant now) {
  using What = l2::Refusal::What;
  const l2::Refusal& r = refused.refusal;
  const bool own = refused.from.value == 0;
  const std::string who = own ? "this computer" : sender.name;
  const std::string where = own ? "on " + device_ : "from " + of(sender);
  const std::string address = to_string(r.address);
  std::string what, mend;
  switch (r.what) {
    case What::mac:
      what = "Dropped " + where + ": frames from " + to_string(r.mac) + ", which is not the MAC of " + who + " (" +
             to_string(sender.mac) + ").";
      if (owner != nullptr) {
        what.insert(what.size() - 1, " but of " + of(*owner));
        mend = "There is another connection from here to that member: take " + (own ? device_ : "the interface") +
               " out of the bridge on one of the two computers.";
      } else {
        mend = "A bridge, macvlan or container behind " + (own ? device_ : "its interface") +
               "? Allow it on the server with: eps members allow " + sender.name +
               " bridge, or route or masquerade what is behind it.";
      }
      break;
    case What::router:
      what = "Dropped " + where + ": a router advertisement or redirect of " + address + ".";
      mend =
          "No member may become everybody's router: stop radvd or dnsmasq on that interface, give addresses by "
          "hand, and allow them with: eps members allow NAME RANGE. Redirects of a computer that routes: sysctl "
          "net.ipv4.conf.all.send_redirects=0 and the interface's own";
      break;
    case What::querier:
      what = "Dropped " + where + ": an IGMP or MLD query of " + address + ".";
      mend =
          "Only members that may bridge may query for groups: stop the multicast router on that interface, or allow it "
          "on "
          "the server with: eps members allow " +
          sender.name + " bridge";
      break;
    case What::bridge:
      what = "Dropped " + where + ": frames from bridge to bridge (spanning tree, LACP or 802.1X).";
      mend =
          "They are for members that may bridge: switch them off on that interface, or allow it on the server with: "
          "eps members allow " +
          sender.name + " bridge";
      break;
    case What::hidden: {
      Bytes type(2);
      store_be16(type.data(), r.ethertype);
      what = "Dropped " + where + ": frames of EtherType 0x" + to_hex(type) + ", which hides the source.";
      mend = "MPLS and stacked tags are for members that may bridge; allow it on the server with: eps members allow " +
             sender.name + " bridge";
      break;
    }
    case What::dhcp:
      what = "Dropped " + where + ": answers of a DHCP server.";
      mend = "Stop the DHCP server on that interface, or allow it on the server with: eps members allow " +
             sender.name + " dhcp";
      break;
    case What::dhcp_options:
      what = "Taken out of answers of a DHCP server " + where + ": all but addresses of the network.";
      mend = "Nobody takes routes or name servers from it unless it is allowed on the server with: eps members allow " +
             sender.name + " dhcp";
      break;
    case What::ip4:
    case What::arp:
    case What::ip6:
    case What::neighbour:
      what = "Dropped " + where + ": packets from " + address + ", which " + who + " does not own.";
      mend = owner != nullptr ? "It is the address of " + of(*owner) + ": remove it here."
                              : "Allow it on the server with: eps members allow " + sender.name + " " + address +
                                    " (or a range around it), or masquerade what is behind " + who + ".";
      if (owner == nullptr && r.address.is_unspecified()) mend = "Give the interface an address.";
      if (owner == nullptr && outside) {
        mend = "It is an address of this computer outside the network, so a rule or route leads into " + device_ +
               " what belongs elsewhere; see: ip rule; ip route show table all. If it belongs here: " +
               static_cast<char>(std::tolower(static_cast<unsigned char>(mend.front()))) + mend.substr(1);
      }
      break;
  }
  tell(std::move(what), std::move(mend), now, sender.id);
}

void Lan::on(const dataplane::LoopSeen&, const Member* twin, Instant now) {
  tell("A loop: what this computer sends to all comes back to it through " + device_ + ", which is in a bridge" +
           (twin == nullptr ? "" : " with a LAN where " + of(*twin) + " is as well") +
           ". Broadcast and multicast through " + device_ + " are blocked here for " +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(dataplane::kBlockFor).count()) + " s.",
       "Take " + device_ + " out of the bridge on one of the two computers.", now);
}

void Lan::on(const dataplane::TooManyGroupFrames&, const Member* sender, Instant now) {
  tell((sender == nullptr ? "This computer sends" : of(*sender) + " sends") +
           " more broadcast or multicast than 1000 frames a second: the rest is dropped.",
       "A loop or a storm behind its interface? Look with: tcpdump -i " + device_ + " ether multicast", now);
}

void Lan::on_calls(const Member& peer, Instant now) {
  tell(of(peer) + " asks this computer for other paths all the time: it is heard twice a second.",
       "Check its network, and what runs there in place of eps-client; on the server, eps members remove " + peer.name +
           " excludes it.",
       now);
}

// The status says who, and the log how much.
void Lan::on(const RelayQuotas::Excess& excess, const Member& sender, const RelayLimit& limit, Instant now) {
  const std::string mend = "Raise relay-limit here, or look for what keeps it from direct paths: eps why NAME on it.";
  if (excess.packets > 0) notes_.push_back(sentence_of(excess, of(sender), limit) + " " + mend);
  auto line = findings_.note(sentence_of({sender.id}, of(sender), limit), mend, now);
  if (excess.packets == 0 && line) notes_.push_back(std::move(*line));
}

void Lan::tell(std::string what, std::string mend, Instant now, MemberId about) {
  if (auto line = findings_.note(std::move(what), std::move(mend), now, about)) notes_.push_back(std::move(*line));
}

}  // namespace eps::node
