// SPDX-License-Identifier: MIT
#include "dataplane/relay.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "dataplane/stream_port.h"
#include "wire/datagram.h"

namespace eps::dataplane {

std::size_t Relay::pump(const PublishedRelay& published, PublishedRelay::View& view, Instant now, Upcalls& upcalls) {
  std::array<ports::RxDatagram, 16> runs;
  const Batch batch = Batch::receive(udp_, runs);
  if (const auto lost = udp_.take_overruns(); lost > 0) counters_.drop(Drop::overrun, lost);
  if (const auto looped = udp_.take_looped(); looped > 0) counters_.drop(Drop::looped, looped);
  const RelayTable& table = published.after(batch, view);
  for (const ports::RxDatagram& run : std::span(runs).first(batch.size())) take_run(table, run, now, upcalls);
  forwarder_.flush(now);
  return batch.size();
}

void Relay::take_run(const RelayTable& table, const ports::RxDatagram& run, Instant now, Upcalls& upcalls) {
  for (ByteSpan rest = run.bytes; !rest.empty();) {
    const ByteSpan datagram = rest.first(std::min<std::size_t>(run.segment_size, rest.size()));
    rest = rest.subspan(datagram.size());
    const auto type = wire::type_of(datagram);
    if (type == wire::Type::relay) {
      const Drop drop = forwarder_.forward(table, run, datagram, now, upcalls);
      if (drop != Drop::none) counters_.drop(drop);
    } else if (type == wire::Type::bind_request) {
      if (!upcalls.add(HandshakeDatagram{{run.from, run.socket, {}, {}}, Bytes(datagram.begin(), datagram.end())})) {
        counters_.drop(Drop::congested);
      }
    } else {
      counters_.drop(Drop::malformed);
    }
  }
}

Drop Forwarder::forward(const RelayTable& table, const ports::RxDatagram& run, ByteSpan datagram, Instant now,
                        Upcalls& upcalls) {
  const auto header = wire::parse_relay_header(datagram);
  if (!header) return Drop::malformed;
  if (!began_) began_ = now;
  const RelayMember* const sender = table.by_tag(header->tag);
  if (sender == nullptr && now - *began_ < kRelayBegins) return Drop::expired;
  if (sender == nullptr || !sender->sends_from(run.from)) return Drop::unauthorised;
  if (sender->quota != nullptr && !sender->quota->take(datagram.size(), now)) {
    if (sender->quota->begin_telling() && !upcalls.add(RelayLimited{sender->id})) sender->quota->end_telling();
    return Drop::relay_limit;
  }
  // Nobody needs to send to itself through a relay: it would use twice the bandwidth.
  if (header->member == sender->id) return Drop::unauthorised;
  const RelayMember* const found = table.by_id(header->member);
  if (found == nullptr) return Drop::no_peer;
  const RelayMember& destination = *found;
  // Otherwise its loss would count as congestion, and slow the others down.
  if (destination.inside && datagram.size() > StreamPort::kMaxDatagram) return Drop::oversized;
  FairShare& share = share_of(destination.to());
  if (!share.admit(sender->id, datagram.size(), now)) return Drop::congested;
  wire::put_relay_header(datagram.data(), {sender->id, destination.tag});
  sender->counters->forwarded(1, datagram.size());
  destination.counters->sent(1, datagram.size());
  counters_.received(1, datagram.size());
  counters_.forwarded(1, datagram.size());
  queue(destination, datagram, run.traffic_class, share.admitted(sender->id));
  return Drop::none;
}

FairShare& Forwarder::share_of(const Endpoint& to) {
  return is_stream(to) ? stream_shares_[to] : udp_share_;
}

void Forwarder::flush(Instant now) {
  // One output at a time, so that a loss is charged to the right one.
  for (auto at = out_.begin(); at != out_.end();) {
    FairShare& share = share_of(at->to);
    const auto end = std::find_if(at, out_.end(), [&](const auto& d) { return &share_of(d.to) != &share; });
    if (share.congested(now)) put_least_first(at - out_.begin(), end - out_.begin());
    const auto sent = static_cast<std::ptrdiff_t>(udp_.send({at, end}));
    const auto bytes = [](auto from, auto to) {
      return std::accumulate(from, to, std::size_t{0}, [](std::size_t n, const auto& d) { return n + d.bytes.size(); });
    };
    share.on_sent(bytes(at, at + sent), bytes(at + sent, end), now);
    counters_.drop(Drop::congested, ports::segments_of({at + sent, end}));
    at = end;
  }
  out_.clear();
  sent_before_.clear();
}

// What does not fit is the end of what is sent.
void Forwarder::put_least_first(std::ptrdiff_t begin, std::ptrdiff_t end) {
  std::vector<std::pair<std::size_t, ports::TxDatagram>> sorted;
  for (auto i = begin; i != end; ++i) {
    sorted.emplace_back(sent_before_[static_cast<std::size_t>(i)], out_[static_cast<std::size_t>(i)]);
  }
  std::ranges::stable_sort(sorted, {}, [](const auto& entry) { return entry.first; });
  std::ranges::transform(sorted, out_.begin() + begin, [](const auto& entry) { return entry.second; });
}

void Forwarder::queue(const RelayMember& to, ByteSpan datagram, std::uint8_t traffic_class, std::size_t sent_before) {
  const Endpoint endpoint = to.to();
  if (!out_.empty()) {
    ports::TxDatagram& last = out_.back();
    const bool adjacent = last.bytes.data() + last.bytes.size() == datagram.data() && last.to == endpoint &&
                          last.socket == to.socket && last.traffic_class == traffic_class;
    const bool whole = last.bytes.size() % last.segment_size == 0;  // no shorter segment has ended the run
    if (adjacent && whole && datagram.size() <= last.segment_size &&
        last.bytes.size() / last.segment_size < ports::kMaxSegments &&
        last.bytes.size() + datagram.size() <= ports::kMaxUdpPayload) {
      last.bytes = ByteView(last.bytes.data(), last.bytes.size() + datagram.size());
      return;
    }
  }
  out_.push_back({.to = endpoint,
                  .bytes = datagram,
                  .segment_size = static_cast<std::uint16_t>(datagram.size()),
                  .socket = to.socket,
                  .bulk = true,
                  .traffic_class = traffic_class});
  sent_before_.push_back(sent_before);
}

}  // namespace eps::dataplane
