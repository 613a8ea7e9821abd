// SPDX-License-Identifier: MIT
#include "dataplane/inbound.h"

#include <algorithm>

#include "l2/dhcp.h"
#include "l2/inner.h"
#include "l2/neighbour.h"
#include "l2/source_guard.h"
#include "wire/datagram.h"

namespace eps::dataplane {
namespace {
// Per kind, as each may be a line in the log.
constexpr Duration kTellPause = std::chrono::seconds(1);
constexpr Duration kStrayPause = std::chrono::milliseconds(100);
// Anybody can send datagrams of unknown sessions; a peer that has lost a session goes on until it hears of that.
constexpr Duration kUnknownPause = std::chrono::milliseconds(1);
constexpr Duration kUnknownBurst = std::chrono::milliseconds(16);
// A run of datagrams of this size is bulk traffic; packets that keep a conduit alive are smaller or come alone.
constexpr std::size_t kBulkSegment = 1000;
}  // namespace

Inbound::Inbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, l2::Offloads offloads)
    : tap_(tap), udp_(udp), counters_(counters), coalescer_(offloads), forwarder_(udp, counters) {}

std::size_t Inbound::pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls) {
  std::array<ports::RxDatagram, 16> runs;
  const Batch batch = Batch::receive(udp_, runs);
  if (const auto lost = udp_.take_overruns(); lost > 0) counters_.drop(Drop::overrun, lost);
  if (const auto looped = udp_.take_looped(); looped > 0) counters_.drop(Drop::looped, looped);
  queue_.on_read(udp_.drained(), now);
  const PeerTable& table = published.after(batch, view);
  for (const ports::RxDatagram& run : std::span(runs).first(batch.size())) take_run(table, run, now, upcalls);
  open_batch(table, now, upcalls);
  // The frames lie in the port's receive buffers, which the next receive overwrites.
  write_out();
  joined_.clear();
  forwarder_.flush(now);
  return batch.size();
}

void Inbound::take_run(const PeerTable& table, const ports::RxDatagram& run, Instant now, Upcalls& upcalls) {
  if (run.traffic_class != traffic_class_) {
    open_batch(table, now, upcalls);
    traffic_class_ = run.traffic_class;
  }
  ByteSpan rest = run.bytes;
  if (run.segment_size >= kBulkSegment && rest.size() > run.segment_size && queue_.wants_loss(now)) {
    rest = rest.subspan(run.segment_size);
    counters_.drop(Drop::congested);
  }
  while (!rest.empty()) {
    ByteSpan datagram = rest.first(std::min<std::size_t>(run.segment_size, rest.size()));
    rest = rest.subspan(datagram.size());
    Arrival arrival{run.from, run.socket, {}, {}};
    if (wire::type_of(datagram) == wire::Type::relay && !take_envelope(table, run, datagram, arrival, now, upcalls))
      continue;
    take_datagram(table, arrival, datagram, now, upcalls);
  }
}

bool Inbound::take_envelope(const PeerTable& table, const ports::RxDatagram& run, ByteSpan& datagram, Arrival& arrival,
                            Instant now, Upcalls& upcalls) {
  const auto envelope = wire::parse_relay_header(datagram);
  // Only a relay knows the tag that it gave us; any other sender of an envelope is not our relay.
  const auto hop = !envelope ? table.relays.end() : std::ranges::find_if(table.relays, [&](const RelayHop& h) {
    return h.tag == envelope->tag && h.endpoint == run.from;
  });
  if (hop != table.relays.end()) {
    arrival.relayed_from = envelope->member;
    arrival.relay = hop->relay;
    datagram = datagram.subspan(wire::kRelayHeaderSize);
    return true;
  }
  const Drop drop = table.serves ? forwarder_.forward(*table.serves, run, datagram, now, upcalls) : Drop::unauthorised;
  if (drop == Drop::no_peer) upcalls.add(RelayWanted{envelope->member});
  if (drop != Drop::none) counters_.drop(drop);
  return false;
}

void Inbound::take_datagram(const PeerTable& table, const Arrival& arrival, ByteSpan datagram, Instant now,
                            Upcalls& upcalls) {
  const auto header = wire::parse_data_header(datagram);
  if (!header) {
    const bool known = wire::type_of(datagram).has_value();
    if (!known || datagram.size() > wire::kMaxHandshakeSize) return counters_.drop(Drop::malformed);
    if (!upcalls.add(HandshakeDatagram{arrival, Bytes(datagram.begin(), datagram.end())})) {
      counters_.drop(Drop::congested);
    }
    return;
  }
  const auto found = table.by_index.find(header->receiver);
  if (found == table.by_index.end()) {
    counters_.drop(Drop::unknown_session);
    if (unknown_.take(now, kUnknownPause, kUnknownBurst)) upcalls.add(UnknownSession{arrival});
    return;
  }
  const bool same_way = arrival_ == arrival;
  if (open_count_ == kBatch || (open_count_ > 0 && (receiving_ != &found->second || !same_way))) {
    open_batch(table, now, upcalls);
  }
  receiving_ = &found->second;
  arrival_ = arrival;
  opens_[open_count_++] = {datagram, {}, Drop::none};
}

void Inbound::open_batch(const PeerTable& table, Instant now, Upcalls& upcalls) {
  if (open_count_ == 0) return;
  const std::span<session::Open> opens = std::span(opens_).first(open_count_);
  open_count_ = 0;
  const Peer& peer = table.peers[receiving_->peer];
  if (receiving_->session->open(opens, now)) {
    const bool frame = std::ranges::any_of(opens, [](const session::Open& open) {
      return open.drop == Drop::none && open.plain[0] != static_cast<std::byte>(wire::Kind::control);
    });
    if (!upcalls.add(SessionConfirmed{peer.id, receiving_->session->local_index(), arrival_, frame})) {
      counters_.drop(Drop::congested);
    }
  }
  std::size_t packets = 0;
  std::size_t bytes = 0;
  auto& opened_so_far = arrival_.relayed() ? peer.activity->opened_relayed : peer.activity->opened_direct;
  const std::uint32_t opened_before = opened_so_far.load(std::memory_order_relaxed);
  std::uint32_t opened = 0;
  for (const session::Open& open : opens) {
    Drop drop = open.drop;
    if (drop == Drop::none) {
      ++opened;
      std::size_t frame = 0;
      drop = take_plain(table, peer, open.plain, now, opened_before + opened, upcalls, frame);
      packets += frame > 0 ? 1 : 0;
      bytes += frame;
    }
    if (drop != Drop::none) {
      counters_.drop(drop);
      peer.activity->counters.drop(drop);
    }
  }
  if (opened == 0) return;
  opened_so_far.fetch_add(opened, std::memory_order_relaxed);
  const Instant::rep at = now.time_since_epoch().count();
  peer.activity->last_received.store(at, std::memory_order_relaxed);
  if (arrival_.from == peer.to && arrival_.socket == peer.socket && arrival_.relayed() == peer.relayed) {
    peer.activity->last_received_on_path.store(at, std::memory_order_relaxed);
  } else if (!arrival_.relayed() &&
             at - peer.activity->last_stray.load(std::memory_order_relaxed) > kStrayPause.count()) {
    peer.activity->last_stray.store(at, std::memory_order_relaxed);
    upcalls.add(HeardElsewhere{peer.id, arrival_});
  }
  peer.activity->counters.received(packets, bytes);
  counters_.received(packets, bytes);
}

Drop Inbound::take_plain(const PeerTable& table, const Peer& peer, ByteSpan plain, Instant now, std::uint32_t arrived,
                         Upcalls& upcalls, std::size_t& frame) {
  if (plain[0] == static_cast<std::byte>(wire::Kind::control)) {
    const ByteSpan message = plain.subspan(1);
    const bool kept = upcalls.add(PathControl{peer.id, receiving_->session->local_index(), arrival_,
                                              Bytes(message.begin(), message.end()), arrived});
    return kept ? Drop::none : Drop::congested;
  }
  if (plain[0] == static_cast<std::byte>(wire::Kind::fragment)) {
    return take_fragment(table, peer, plain.subspan(1), now, upcalls, frame);
  }
  return take_frame(table, peer, plain, traffic_class_, now, upcalls, frame);
}

Drop Inbound::take_fragment(const PeerTable& table, const Peer& peer, ByteView content, Instant now, Upcalls& upcalls,
                            std::size_t& frame) {
  Reassembly::Taken taken = peer.activity->fragments.take(content, traffic_class_, now);
  if (taken.lost > 0) {
    counters_.drop(Drop::incomplete, taken.lost);
    peer.activity->counters.drop(Drop::incomplete, taken.lost);
  }
  if (taken.joined.empty()) return taken.drop;
  joined_.push_back(std::move(taken.joined));
  const ByteSpan plain = ByteSpan(joined_.back()).subspan(wire::kDataHeaderSize);
  return take_frame(table, peer, plain, taken.traffic_class, now, upcalls, frame);
}

Drop Inbound::take_frame(const PeerTable& table, const Peer& peer, ByteSpan plain, std::uint8_t outer, Instant now,
                         Upcalls& upcalls, std::size_t& frame) {
  l2::Inner inner;
  if (const Drop malformed = l2::decode(plain, table.self_mac, peer.mac, inner); malformed != Drop::none) {
    return malformed;
  }
  if (!l2::for_us(inner, table.self_mac) && !table.self_bridge) return Drop::wrong_destination;
  l2::Refusal why;
  const OtherMembers others(table, peer.id);
  const l2::Owner sender{
      peer.mac,     peer.address, peer.further, &others, peer.address6, peer.bridge, table.dhcp_right(peer.serves_dhcp),
      table.network};
  const Drop drop = l2::check_source(inner, sender, &why);
  const bool cut = sender.dhcp == l2::DhcpRight::addresses && drop == Drop::none && l2::keep_only_addresses(inner);
  if (cut) why.what = l2::Refusal::What::dhcp_options;
  if ((drop == Drop::spoofed_source || cut) && now - told_refusal_ >= kTellPause) {
    const Resident* owner = why.what == l2::Refusal::What::mac ? table.directory->by_mac(why.mac)
                                                               : table.directory->by_address(why.address);
    if (upcalls.add(FrameRefused{peer.id, why, owner == nullptr ? MemberId{} : owner->id})) told_refusal_ = now;
  }
  if (drop != Drop::none) return drop;
  if (inner.info.src != peer.mac && stations_.is_news(inner.info.src, peer.mac, now)) {
    table.stations->learn(inner.info.src, peer.mac, now);
  }
  if (inner.info.dst.is_group()) {
    if (const Drop group = take_group(table, peer, inner, now, upcalls); group != Drop::none) return group;
  }
  if (table.policy && !allowed(table, peer, inner, now, upcalls)) {
    counters_.drop(Drop::policy);
    return Drop::none;
  }
  if (!l2::hand_on_congestion(inner, outer)) return Drop::congested;
  if (!coalescer_.add(inner)) {
    write_out();
    if (!coalescer_.add(inner)) return Drop::congested;
  }
  frame = inner.frame_size();
  return Drop::none;
}

// By the policy. dropped_by() counts for the peer.
bool Inbound::allowed(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now, Upcalls& upcalls) {
  const std::size_t l3 = inner.info.l3_offset;
  const ByteView packet(inner.at(l3), inner.frame_size() - l3);
  const auto rule = dropped_by(*table.policy, peer, Heading::in, packet, inner.info, now);
  if (!rule) return true;
  const bool tell = !inner.info.dst.is_group() && now - told_policy_ >= kTellPause;
  if (tell && upcalls.add(PolicyDropped{peer.id, Heading::in, *rule})) told_policy_ = now;
  return false;
}

// To a group: within the sender's limit, and not part of a loop that this computer has blocked.
Drop Inbound::take_group(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now,
                         Upcalls& upcalls) {
  if (table.groups->blocked(now)) return Drop::bridge_loop;
  if (!peer.activity->groups.take(now, kGroupPause, kGroupBurst)) {
    if (now - told_limit_ >= kTellPause && upcalls.add(TooManyGroupFrames{peer.id})) told_limit_ = now;
    return Drop::rate_limited;
  }
  note_unwanted(table, peer, inner, now, upcalls);
  return Drop::none;
}

// The kernel discards it, if it really listens to nothing of the kind.
void Inbound::note_unwanted(const PeerTable& table, const Peer& peer, const l2::Inner& inner, Instant now,
                            Upcalls& upcalls) const {
  if (table.listens->takes(inner.info.dst) || !receiving_->session->has(Feature::groups) ||
      !l2::is_for_listeners(inner.info, inner.at(inner.info.l3_offset))) {
    return;
  }
  const Instant last{Duration(peer.activity->unwanted_at.load(std::memory_order_relaxed))};
  if (now - last < kTellPause || !upcalls.add(UnwantedGroup{peer.id})) return;
  peer.activity->unwanted_at.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

void Inbound::write_out() {
  const auto writes = coalescer_.finish();
  if (!writes.empty()) {
    const std::size_t written = tap_.write(writes);
    if (written < writes.size()) {
      counters_.drop(tap_.down() ? Drop::interface_down : Drop::congested, writes.size() - written);
    }
  }
  coalescer_.reset();
}

}  // namespace eps::dataplane
