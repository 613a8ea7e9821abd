// SPDX-License-Identifier: MIT
#include "dataplane/outbound.h"

#include <algorithm>

#include "l2/dhcp.h"
#include "l2/source_guard.h"
#include "wire/datagram.h"

namespace eps::dataplane {
namespace {
constexpr std::size_t kBatch = 64;
// After this much silence towards a peer its timers may be asleep.
constexpr Duration kAsleepAfter = std::chrono::seconds(1);
// Per kind, as each may be a line in the log.
constexpr Duration kTellPause = std::chrono::seconds(1);
}  // namespace

Outbound::Outbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, std::uint16_t underlay_port)
    : tap_(tap), counters_(counters), underlay_port_(underlay_port), sender_(udp, counters) {}

std::size_t Outbound::pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls) {
  std::array<ports::TapFrame, kBatch> frames;
  const Batch batch = Batch::read(tap_, frames);
  queue_.on_read(tap_.drained(), now);
  const PeerTable& table = published.after(batch, view);
  announce(table);
  for (const ports::TapFrame& frame : std::span(frames).first(batch.size())) take(table, frame, now, upcalls);
  if (tap_.drained()) {
    sender_.flush();
  } else {
    sender_.flush_full_runs();
  }
  return batch.size();
}

void Outbound::take(const PeerTable& table, const ports::TapFrame& frame, Instant now, Upcalls& upcalls) {
  const auto info = l2::parse_frame(frame.bytes);
  if (!info) return counters_.drop(Drop::malformed);
  if (loops(table, frame.bytes, *info)) return counters_.drop(Drop::looped);
  l2::Refusal why;
  const OtherMembers others(table, table.self);
  const l2::Owner self{table.self_mac,
                       table.self_address,
                       table.self_further,
                       &others,
                       table.self_address6,
                       table.self_bridge,
                       table.dhcp_right(table.self_serves_dhcp),
                       table.network};
  const Drop drop = l2::check_source(frame.bytes, *info, self, &why);
  if (drop == Drop::spoofed_source) refused(table, *info, why, now, upcalls);
  if (drop != Drop::none) return counters_.drop(drop);
  if (self.dhcp == l2::DhcpRight::addresses && l2::gives_more_than_addresses(frame.bytes, *info)) {
    why.what = l2::Refusal::What::dhcp_options;
    refused(table, *info, why, now, upcalls);  // the receivers take the rest out
  }
  if (info->src != table.self_mac) heard_here(table, frame, *info, now, upcalls);
  if (answered(table, frame, *info, now, upcalls)) return;
  if (info->dst.is_group()) {
    if (may_pass(table, frame, now, upcalls)) to_all(table, frame, *info, now, upcalls);
    return;
  }
  const auto peer = table.by_mac.find(info->dst);
  if (peer != table.by_mac.end()) return to_one(table, table.peers[peer->second], frame, *info, now, upcalls);
  const Resident* silent = table.directory->by_mac(info->dst);
  if (silent == nullptr) return to_station(table, frame, *info, now, upcalls);
  to_member(table, *silent, frame, *info, now, upcalls);
}

bool Outbound::answered(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                        Upcalls& upcalls) {
  using Kind = l2::LinkMessage::Kind;
  const l2::LinkMessage message = l2::read_link_message(frame.bytes, info);
  switch (message.kind) {
    case Kind::none:
    case Kind::query:
      return false;
    case Kind::router_search:
      return true;  // no member is a router
    case Kind::membership:
      upcalls.add(GroupsReported{});
      to_queriers(table, frame, info, message.beyond_link, now, upcalls);
      return true;
    case Kind::announcement: {
      // Everybody knows its own addresses from the list. Another one may have belonged to another member until now.
      const bool own = message.about == IpAddress::from_v4(table.self_address) ||
                       message.about == l2::eui64_link_local(table.self_mac) || message.about == table.self_address6;
      return own;
    }
    case Kind::question:
    case Kind::probe:
      break;
  }
  if (const Resident* owner = table.directory->by_address(message.about)) {
    // For absent members there is no answer, so that programs learn at once that there is no route.
    if (!owner->online && !table.by_mac.contains(owner->mac)) {
      counters_.drop(Drop::no_peer);
      upcalls.add(AbsentWanted{owner->id});
      return true;
    }
    l2::LinkFrame answer;
    write(l2::write_answer(frame.bytes, info, message, owner->mac, answer));
    return true;
  }
  // Only the members that may use the address know which of them does so now.
  const std::vector<const Resident*> holders = table.directory->holders_of(message.about);
  for (const Resident* holder : holders) to_member(table, *holder, frame, info, now, upcalls);
  if (holders.empty() && message.kind == Kind::question) {
    counters_.drop(Drop::no_peer);
    upcalls.add(NobodyHas{});
  }
  return true;
}

void Outbound::to_member(const PeerTable& table, const Resident& member, const ports::TapFrame& frame,
                         const l2::FrameInfo& info, Instant now, Upcalls& upcalls) {
  const auto live = table.by_mac.find(member.mac);
  if (live != table.by_mac.end()) return to_one(table, table.peers[live->second], frame, info, now, upcalls);
  if (!member.online) return counters_.drop(Drop::no_peer);
  if (!upcalls.add(NeedSession{member.id, Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta})) {
    counters_.drop(Drop::not_ready);
  }
}

// A machine behind this computer. If another member sent for it as well, either it has moved, or that member bridges
// the same LAN.
void Outbound::heard_here(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                          Upcalls& upcalls) {
  table.groups->note_machine(info.ip_version);
  const bool group = info.dst.is_group();
  const bool news = stations_.is_news(info.src, table.self_mac, now);
  if (!group && !news) return;
  Stations& stations = *table.stations;
  const auto via = stations.where(info.src, now);
  const bool elsewhere = via && *via != Stations::kHere;
  if (elsewhere && group) {
    if (const Resident* other = table.directory->by_mac(*via)) table.groups->note_twin(other->id, now);
  }
  if (elsewhere) stations.forget(info.src);
  const bool known = via && !elsewhere;
  if (known ? news : present(table, frame, info, elsewhere, now, upcalls)) {
    stations.learn(info.src, Stations::kHere, now);
  }
}

// The others would send to where it was until they see a frame from it, and of what it says many frames are answered
// here. Members that may bridge are told of each machine, so that one that moves is known to have `moved`, of which
// everybody is told. False: too many, or a loop; the next frame from it is another occasion.
bool Outbound::present(const PeerTable& table, const ports::TapFrame& heard, const l2::FrameInfo& machine, bool moved,
                       Instant now, Upcalls& upcalls) {
  if (table.groups->blocked(now) || !table.groups->presences.take(now, kPresencePause, kPresenceBurst)) return false;
  l2::LinkFrame room;
  const ports::TapFrame frame{std::span(room).first(l2::write_presence(heard.bytes, machine, room).size()), {}};
  const auto info = l2::parse_frame(frame.bytes);
  auto served = to_live(table, frame, *info, now, upcalls);
  if (!served) return false;
  if (moved) {
    to_silent(table, frame, std::move(*served), upcalls);
  } else {
    for (const Resident* bridge : table.directory->bridges()) {
      if (std::ranges::count(*served, bridge->id) == 0) to_member(table, *bridge, frame, *info, now, upcalls);
    }
  }
  return true;
}

// Until it was heard of, it may be behind any of the members that bridge.
void Outbound::to_station(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                          Upcalls& upcalls) {
  const std::vector<const Resident*> bridges = table.directory->bridges();
  if (bridges.empty()) return counters_.drop(Drop::no_peer);
  if (const auto via = table.stations->where(info.dst, now)) {
    const auto there = std::ranges::find(bridges, *via, &Resident::mac);
    if (there != bridges.end()) return to_member(table, **there, frame, info, now, upcalls);
  }
  if (!table.groups->own.take(now, kGroupPause, kGroupBurst)) return counters_.drop(Drop::rate_limited);
  for (const Resident* bridge : bridges) to_member(table, *bridge, frame, info, now, upcalls);
}

// Multicast routers, and switches that listen to reports, are behind members that may bridge (RFC 4541, section 2.1.1).
// Their last query may have passed before this client came, so all of these members are told. But what a kernel joins
// by itself opens no session.
void Outbound::to_queriers(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info,
                           bool beyond_link, Instant now, Upcalls& upcalls) {
  for (const Resident* bridge : table.directory->bridges()) {
    if (beyond_link || table.by_mac.contains(bridge->mac)) to_member(table, *bridge, frame, info, now, upcalls);
  }
}

// A frame to a group: within the limit, and not part of a loop.
bool Outbound::may_pass(const PeerTable& table, const ports::TapFrame& frame, Instant now, Upcalls& upcalls) {
  GroupState& state = *table.groups;
  if (state.blocked(now)) {
    counters_.drop(Drop::bridge_loop);
    return false;
  }
  if (loops_.goes_round(frame.bytes, state, table.self, now)) {
    state.blocked_until.store((now + kBlockFor).time_since_epoch().count(), std::memory_order_relaxed);
    const bool known = now - Instant(Duration(state.twin_at.load(std::memory_order_relaxed))) < kTwinSeen;
    LoopSeen seen{{known ? state.twin.load(std::memory_order_relaxed) : 0}, {}};
    std::copy_n(frame.bytes.begin(), seen.frame_to.bytes.size(), seen.frame_to.bytes.begin());
    upcalls.add(seen);
    counters_.drop(Drop::bridge_loop);
    return false;
  }
  if (state.own.take(now, kGroupPause, kGroupBurst)) return true;
  counters_.drop(Drop::rate_limited);
  if (now - told_limit_ >= kTellPause && upcalls.add(TooManyGroupFrames{})) told_limit_ = now;
  return false;
}

void Outbound::refused(const PeerTable& table, const l2::FrameInfo& info, const l2::Refusal& why, Instant now,
                       Upcalls& upcalls) {
  const Resident* owner =
      why.what == l2::Refusal::What::mac ? table.directory->by_mac(why.mac) : table.directory->by_address(why.address);
  if (owner != nullptr && why.what == l2::Refusal::What::mac && info.dst.is_group()) {
    table.groups->note_twin(owner->id, now);
  }
  if (now - told_refusal_ < kTellPause) return;
  if (upcalls.add(FrameRefused{{}, why, owner == nullptr ? MemberId{} : owner->id})) told_refusal_ = now;
}

// The kernel caches addresses: announce changed ones.
void Outbound::announce(const PeerTable& table) {
  for (const Binding& binding : table.directory->take_announcements()) {
    l2::LinkFrame frame;
    write(l2::write_announcement(binding.address, binding.mac, frame));
  }
}

void Outbound::write(ByteView frame) {
  const ports::TapWrite out{{&frame, 1}, {}};
  if (tap_.write({&out, 1}) == 0) counters_.drop(Drop::congested);
}

// Sent by this computer (a bridged machine may use the same port), from the port that nobody else can have here, and in
// a format that only we use.
bool Outbound::loops(const PeerTable& table, ByteView frame, const l2::FrameInfo& info) const {
  return info.protocol == l2::kProtocolUdp && info.plain_transport() && underlay_port_ != 0 &&
         load_be16(frame.data() + info.l4_offset) == underlay_port_ && info.src == table.self_mac &&
         wire::type_of(frame.subspan(info.payload_offset)).has_value();
}

void Outbound::to_one(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame, const l2::FrameInfo& info,
                      Instant now, Upcalls& upcalls) {
  if (!ready(peer, frame, now, upcalls)) return;
  if (table.policy && !allowed(table, peer, frame, info, now, upcalls)) return;
  std::span<const l2::Segment> segments;
  const l2::MacPair macs{table.self_mac, peer.mac};
  const Drop drop = segmenter_.split(frame, info, &macs, segments, {peer.max_plain, peer.promised_plain});
  if (drop != Drop::none) return counters_.drop(drop);
  if (segments.size() > 1 && queue_.wants_loss(now)) {
    segments = segments.subspan(1);
    counters_.drop(Drop::congested);
    peer.activity->counters.drop(Drop::congested);
  }
  sender_.send_segments(peer, segments, info.traffic_class, now);
}

void Outbound::to_all(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                      Upcalls& upcalls) {
  if (auto served = to_live(table, frame, info, now, upcalls)) to_silent(table, frame, std::move(*served), upcalls);
}

// Split once, then sealed for each peer from the same bytes. Those that do not listen to the group are left out.
std::optional<std::vector<MemberId>> Outbound::to_live(const PeerTable& table, const ports::TapFrame& frame,
                                                       const l2::FrameInfo& info, Instant now, Upcalls& upcalls) {
  std::span<const l2::Segment> segments;
  if (const Drop drop = segmenter_.split(frame, info, nullptr, segments); drop != Drop::none) {
    counters_.drop(drop);
    return std::nullopt;
  }
  const bool chosen = l2::is_for_listeners(info, frame.bytes.data() + info.l3_offset);
  std::vector<MemberId> served;
  served.reserve(table.peers.size());
  for (const Peer& peer : table.peers) {
    if (!sealing(peer, now)) continue;
    served.push_back(peer.id);
    if (chosen && peer.activity->listens.refuses(info.dst, now)) continue;
    if (table.policy && !allowed(table, peer, frame, info, now, upcalls)) continue;
    wake(peer, now, upcalls);
    sender_.send_segments(peer, segments, info.traffic_class, now);
  }
  return served;
}

void Outbound::to_silent(const PeerTable& table, const ports::TapFrame& frame, std::vector<MemberId> served,
                         Upcalls& upcalls) {
  if (served.size() >= table.directory->online()) return;
  std::ranges::sort(served);
  if (!upcalls.add(ForTheSilent{Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta, std::move(served)})) {
    counters_.drop(Drop::not_ready);
  }
}

// By the policy. Frames to groups go to all members, so a drop of one is nothing to mention.
bool Outbound::allowed(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame,
                       const l2::FrameInfo& info, Instant now, Upcalls& upcalls) {
  const auto rule = dropped_by(*table.policy, peer, Heading::out, frame.bytes.subspan(info.l3_offset), info, now);
  if (!rule) return true;
  counters_.drop(Drop::policy);
  const bool tell = !info.dst.is_group() && now - told_policy_ >= kTellPause;
  if (tell && upcalls.add(PolicyDropped{peer.id, Heading::out, *rule})) told_policy_ = now;
  return false;
}

bool Outbound::sealing(const Peer& peer, Instant now) {
  return peer.ready() && peer.sealing()->may_send(now);
}

void Outbound::wake(const Peer& peer, Instant now, Upcalls& upcalls) {
  if (now - peer.activity->sent_at() > kAsleepAfter && !upcalls.add(PeerWoke{peer.id})) {
    counters_.drop(Drop::congested);
  }
}

bool Outbound::ready(const Peer& peer, const ports::TapFrame& frame, Instant now, Upcalls& upcalls) {
  if (!sealing(peer, now)) {
    if (!upcalls.add(NeedSession{peer.id, Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta})) {
      counters_.drop(Drop::not_ready);
    }
    return false;
  }
  wake(peer, now, upcalls);
  return true;
}

}  // namespace eps::dataplane
