#include "dataplane/relay.h"

#include <algorithm>
#include <array>

#include "wire/datagram.h"

namespace eps::dataplane {

std::size_t Relay::pump(const RelayTable& table, Upcalls& upcalls) {
  std::array<ports::RxDatagram, 16> runs;
  const std::size_t count = udp_.receive(runs);
  for (const ports::RxDatagram& run : std::span(runs).first(count)) take_run(table, run, upcalls);
  forwarder_.flush();
  return count;
}

void Relay::take_run(const RelayTable& table, const ports::RxDatagram& run, Upcalls& upcalls) {
  for (ByteSpan rest = run.bytes; !rest.empty();) {
    const ByteSpan datagram = rest.first(std::min<std::size_t>(run.segment_size, rest.size()));
    rest = rest.subspan(datagram.size());
    const auto type = wire::type_of(datagram);
    if (type == wire::Type::relay) {
      const Drop drop = forwarder_.forward(table, run, datagram);
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

Drop Forwarder::forward(const RelayTable& table, const ports::RxDatagram& run, ByteSpan datagram) {
  const auto header = wire::parse_relay_header(datagram);
  if (!header) return Drop::malformed;
  const auto sender = table.by_tag.find(header->tag);
  if (sender == table.by_tag.end() || sender->second.endpoint != run.from) return Drop::unauthorised;
  const auto tag = table.tag_of.find(header->member);
  if (tag == table.tag_of.end()) return Drop::no_peer;
  const RelayMember& destination = table.by_tag.at(tag->second);
  wire::put_relay_header(datagram.data(), {sender->second.id, destination.tag});
  sender->second.counters->forwarded(1, datagram.size());
  destination.counters->sent(1, datagram.size());
  counters_.received(1, datagram.size());
  counters_.forwarded(1, datagram.size());
  queue(destination, datagram);
  return Drop::none;
}

void Forwarder::flush() {
  if (out_.empty()) return;
  const std::size_t sent = udp_.send(out_);
  if (sent < out_.size()) counters_.drop(Drop::congested, out_.size() - sent);
  out_.clear();
}

void Forwarder::queue(const RelayMember& to, ByteSpan datagram) {
  if (!out_.empty()) {
    ports::TxDatagram& last = out_.back();
    const bool adjacent =
        last.bytes.data() + last.bytes.size() == datagram.data() && last.to == to.endpoint && last.socket == to.socket;
    const bool whole = last.bytes.size() % last.segment_size == 0;  // no shorter segment has ended the run
    if (adjacent && whole && datagram.size() <= last.segment_size &&
        last.bytes.size() / last.segment_size < ports::kMaxSegments &&
        last.bytes.size() + datagram.size() <= ports::kMaxUdpPayload) {
      last.bytes = ByteView(last.bytes.data(), last.bytes.size() + datagram.size());
      return;
    }
  }
  out_.push_back({to.endpoint, datagram, static_cast<std::uint16_t>(datagram.size()), to.socket});
}

}  // namespace eps::dataplane
