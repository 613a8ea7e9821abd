#include "dataplane/outbound.h"

#include "l2/source_guard.h"
#include "wire/datagram.h"

namespace eps::dataplane {
namespace {
constexpr std::size_t kBatch = 64;
// After this much silence towards a peer its timers may have gone to sleep.
constexpr Duration kAsleepAfter = std::chrono::seconds(1);
}  // namespace

Outbound::Outbound(ports::TapPort& tap, ports::UdpPort& udp, Counters& counters, std::uint16_t underlay_port)
    : tap_(tap), counters_(counters), underlay_port_(underlay_port), sender_(udp, counters) {}

std::size_t Outbound::pump(const PublishedPeers& published, PublishedPeers::View& view, Instant now, Upcalls& upcalls) {
  std::array<ports::TapFrame, kBatch> frames;
  const Batch batch = Batch::read(tap_, frames);
  queue_.on_read(tap_.drained(), now);
  const PeerTable& table = published.after(batch, view);
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
  const Drop drop = l2::check_source(frame.bytes, *info, table.self_mac, table.self_address);
  if (drop != Drop::none) return counters_.drop(drop);
  if (info->dst.is_group()) return to_all(table, frame, *info, now, upcalls);
  const auto peer = table.by_mac.find(info->dst);
  if (peer == table.by_mac.end()) return counters_.drop(Drop::no_peer);
  to_one(table, table.peers[peer->second], frame, *info, now, upcalls);
}

// From this computer (a bridged machine may use the same port), by the port that nobody else can have here, and of a
// form that only ours have.
bool Outbound::loops(const PeerTable& table, ByteView frame, const l2::FrameInfo& info) const {
  return info.protocol == l2::kProtocolUdp && info.plain_transport() && underlay_port_ != 0 &&
         load_be16(frame.data() + info.l4_offset) == underlay_port_ && info.src == table.self_mac &&
         wire::type_of(frame.subspan(info.payload_offset)).has_value();
}

void Outbound::to_one(const PeerTable& table, const Peer& peer, const ports::TapFrame& frame, const l2::FrameInfo& info,
                      Instant now, Upcalls& upcalls) {
  if (!ready(peer, frame, now, upcalls)) return;
  std::span<const l2::Segment> segments;
  const l2::MacPair macs{table.self_mac, peer.mac};
  const Drop drop = segmenter_.split(frame, info, &macs, segments, peer.max_plain);
  if (drop != Drop::none) return counters_.drop(drop);
  if (segments.size() > 1 && queue_.wants_loss(now)) {
    segments = segments.subspan(1);
    counters_.drop(Drop::congested);
    peer.activity->counters.drop(Drop::congested);
  }
  sender_.send_segments(peer, segments, now);
}

// Split once, sealed once for each peer from the same bytes.
void Outbound::to_all(const PeerTable& table, const ports::TapFrame& frame, const l2::FrameInfo& info, Instant now,
                      Upcalls& upcalls) {
  std::span<const l2::Segment> segments;
  const Drop drop = segmenter_.split(frame, info, nullptr, segments);
  if (drop != Drop::none) return counters_.drop(drop);
  for (const Peer& peer : table.peers) {
    if (ready(peer, frame, now, upcalls)) sender_.send_segments(peer, segments, now);
  }
}

bool Outbound::ready(const Peer& peer, const ports::TapFrame& frame, Instant now, Upcalls& upcalls) {
  if (!peer.ready() || !peer.session->may_send(now)) {
    if (!upcalls.add(NeedSession{peer.id, Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta})) {
      counters_.drop(Drop::not_ready);
    }
    return false;
  }
  if (now - peer.activity->sent_at() > kAsleepAfter && !upcalls.add(PeerWoke{peer.id})) {
    counters_.drop(Drop::congested);
  }
  return true;
}

}  // namespace eps::dataplane
