// SPDX-License-Identifier: MIT
#include "dataplane/frame_sender.h"

#include <algorithm>
#include <cstring>

#include "wire/datagram.h"

namespace eps::dataplane {
namespace {

std::size_t plain_size(const l2::Segment& segment) {
  return segment.head.size() + segment.body.size();
}

// For one more segment of the same size.
bool has_room(const ports::TxDatagram& run) {
  return run.bytes.size() + run.segment_size <= ports::kMaxUdpPayload &&
         run.bytes.size() / run.segment_size < ports::kMaxSegments;
}

}  // namespace

FrameSender::FrameSender(ports::UdpPort& udp, Counters& counters)
    : udp_(udp), counters_(counters), arena_(new std::byte[kArenaSize]) {
  runs_.reserve(kSealBatch);
}

void FrameSender::send_segments(const Peer& peer, std::span<const l2::Segment> segments, std::uint8_t traffic_class,
                                Instant now) {
  traffic_class_ = traffic_class & peer.outer_class;
  std::size_t sealed = 0;
  std::size_t bytes = 0;
  while (sealed < segments.size()) {
    if (used_ >= kFlushAt) flush_full_runs();
    std::size_t n = seal_batch(peer, segments.subspan(sealed), now);
    if (n == 0 && plain_size(segments[sealed]) > peer.max_plain && send_in_pieces(peer, segments[sealed], now)) n = 1;
    if (n == 0) {
      counters_.drop(Drop::expired, segments.size() - sealed);
      break;
    }
    for (const l2::Segment& s : segments.subspan(sealed, n)) bytes += s.ethernet_size;
    sealed += n;
  }
  if (sealed == 0) return;
  peer.activity->counters.sent(sealed, bytes);
  peer.activity->last_sent.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  counters_.sent(sealed, bytes);
}

// Returns how many segments it sealed: as many as there is room for, and none that the path does not carry; 0 also when
// the session must not send any more.
std::size_t FrameSender::seal_batch(const Peer& peer, std::span<const l2::Segment> segments, Instant now) {
  std::array<session::Seal, kSealBatch> seals;
  std::array<ByteView, kSealBatch> datagrams;
  const std::size_t envelope = peer.relayed ? wire::kRelayHeaderSize : 0;
  std::size_t n = 0;
  std::size_t at = used_;
  std::size_t largest = 0;
  for (; n < segments.size() && n < kSealBatch; ++n) {
    const l2::Segment& segment = segments[n];
    const std::size_t plain = plain_size(segment);
    const std::size_t size = envelope + wire::kDataHeaderSize + plain + wire::kTagSize;
    if (plain > peer.max_plain || at + size > kArenaSize) break;
    largest = std::max(largest, size);
    std::byte* out = arena_.get() + at;
    if (peer.relayed) wire::put_relay_header(out, peer.envelope);
    seals[n] = {segment.head, segment.body, out + envelope};
    datagrams[n] = ByteView(out, size);
    at += size;
  }
  if (n == 0) return 0;  // the arena holds more than kFlushAt and one datagram
  if (!peer.sealing()->seal(std::span(seals).first(n), now)) return 0;
  used_ = at;
  if (largest > kSmallDatagram) {
    peer.activity->last_large.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  for (const ByteView datagram : std::span(datagrams).first(n)) extend_run(peer, datagram);
  return n;
}

// False when the session must not send any more.
bool FrameSender::send_in_pieces(const Peer& peer, const l2::Segment& segment, Instant now) {
  const std::size_t total = plain_size(segment);
  const std::size_t room = peer.max_plain - 1 - wire::kFragmentHeaderSize;
  const std::size_t count = (total + room - 1) / room;
  if (total > 0xffff || count > wire::kMaxFragments) {
    counters_.drop(Drop::oversized);
    return true;
  }
  wire::Fragment fragment{.id = peer.activity->next_fragment.fetch_add(1, std::memory_order_relaxed),
                          .total = static_cast<std::uint16_t>(total),
                          .count = static_cast<std::uint8_t>(count)};
  pieces_.clear();
  piece_heads_.resize(count * (1 + wire::kFragmentHeaderSize) + segment.head.size());
  std::byte* at = piece_heads_.data();
  for (; fragment.index < count; ++fragment.index) {
    // The parts of this piece that are in the segment's head and in its body.
    const std::size_t begin = fragment.offset();
    const std::size_t size = fragment.size();
    const ByteView head = segment.head.subspan(std::min(begin, segment.head.size()));
    const ByteView from_head = head.first(std::min(size, head.size()));
    const std::size_t body_at = begin + from_head.size() - std::min(begin + from_head.size(), segment.head.size());
    std::byte* const out = at;
    *at++ = static_cast<std::byte>(wire::Kind::fragment);
    wire::put_fragment_header(at, fragment);
    at = std::ranges::copy(from_head, at + wire::kFragmentHeaderSize).out;
    pieces_.push_back({{out, at}, segment.body.subspan(body_at, size - from_head.size())});
  }
  peer.activity->last_large.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  for (std::span<const l2::Segment> rest = pieces_; !rest.empty();) {
    if (used_ >= kFlushAt) flush_full_runs();
    const std::size_t n = seal_batch(peer, rest, now);
    if (n == 0) return false;
    rest = rest.subspan(n);
  }
  return true;
}

void FrameSender::extend_run(const Peer& peer, ByteView datagram) {
  if (run_open_) {
    ports::TxDatagram& run = runs_.back();
    const bool alike = run.to == peer.to && run.socket == peer.socket && run.traffic_class == traffic_class_;
    if (alike && datagram.size() <= run.segment_size) {
      run.bytes = ByteView(run.bytes.data(), run.bytes.size() + datagram.size());
      // A shorter one ends the run.
      run_open_ = datagram.size() == run.segment_size && has_room(run);
      return;
    }
  }
  runs_.push_back({.to = peer.to,
                   .bytes = datagram,
                   .segment_size = static_cast<std::uint16_t>(datagram.size()),
                   .socket = peer.socket,
                   .bulk = true,
                   .traffic_class = traffic_class_});
  run_open_ = peer.runs && has_room(runs_.back());
}

void FrameSender::flush() {
  if (!runs_.empty()) {
    const std::size_t sent = udp_.send(runs_);
    if (sent < runs_.size()) counters_.drop(Drop::congested, ports::segments_of(std::span(runs_).subspan(sent)));
  }
  runs_.clear();
  used_ = kept_ = 0;
  run_open_ = false;
}

void FrameSender::flush_full_runs() {
  if (!run_open_ || used_ == kept_) return flush();
  ports::TxDatagram last = runs_.back();
  runs_.pop_back();
  flush();
  std::memmove(arena_.get(), last.bytes.data(), last.bytes.size());
  last.bytes = ByteView(arena_.get(), last.bytes.size());
  used_ = kept_ = last.bytes.size();
  run_open_ = true;
  runs_.push_back(last);
}

}  // namespace eps::dataplane
