// SPDX-License-Identifier: MIT
#include "dataplane/stream_port.h"

#include <algorithm>
#include <utility>

#include "wire/control_messages.h"
#include "wire/datagram.h"

namespace eps::dataplane {
namespace {
constexpr std::byte kDiscardPrefix{0x01};  // 0100::/64
constexpr std::uint16_t kStreamPort = 1;

// The result of take() fits into one message, with up to 4 bytes before each datagram and 16 before all.
static_assert(StreamPort::kMaxTaken + 4 * wire::kMaxRelayedPerMessage + 16 <= wire::kMaxControlMessage);
static_assert(StreamPort::kMaxDatagram <= StreamPort::kMaxTaken);
}  // namespace

Endpoint stream_endpoint(MemberId member) {
  Endpoint out;
  out.ip.bytes[0] = kDiscardPrefix;
  store_be32(out.ip.bytes.data() + 12, member.value);
  out.port = kStreamPort;
  return out;
}

bool is_stream(const Endpoint& endpoint) {
  return endpoint.ip.bytes[0] == kDiscardPrefix &&
         std::all_of(endpoint.ip.bytes.begin() + 1, endpoint.ip.bytes.begin() + 8,
                     [](std::byte b) { return b == std::byte{0}; });
}

std::size_t StreamPort::receive(std::span<ports::RxDatagram> out) {
  lent_.clear();
  if (arrived_count_.load(std::memory_order_acquire) > 0) {
    const Lock lock(mutex_);
    // Half of the batch is left for UDP.
    for (std::size_t room = std::max<std::size_t>(out.size() / 2, 1); room > 0 && !arrived_.empty(); --room) {
      Arrived& first = arrived_.front();
      if (const auto it = streams_.find(first.member); it != streams_.end()) {
        it->second.arrived -= std::min(it->second.arrived, first.bytes.size());
      }
      lent_.push_back(std::move(first));
      arrived_.pop_front();
    }
    arrived_count_.store(arrived_.size(), std::memory_order_release);
  }
  std::size_t n = 0;
  for (Arrived& a : lent_) {
    out[n++] = {stream_endpoint(a.member), a.bytes, static_cast<std::uint16_t>(a.bytes.size())};
  }
  return n + receive_from(udp_, out.subspan(n));
}

std::size_t StreamPort::receive_from(ports::UdpPort& udp, std::span<ports::RxDatagram> out) {
  const auto received = out.first(out.empty() ? 0 : udp.receive(out));
  // Drop datagrams that impersonate a stream.
  const auto end = std::ranges::remove_if(received, [](const auto& d) { return is_stream(d.from); }).begin();
  return static_cast<std::size_t>(end - received.begin());
}

std::size_t StreamPort::send_by(ports::UdpPort& udp, std::span<const ports::TxDatagram> datagrams) {
  std::size_t sent = 0;
  for (auto at = datagrams.begin(); at != datagrams.end();) {
    const bool stream = is_stream(at->to);
    const auto end = std::find_if(at, datagrams.end(), [&](const auto& d) { return is_stream(d.to) != stream; });
    if (stream) {
      for (; at != end; ++at) sent += enqueue(*at);
    } else {
      sent += udp.send({at, end});
      at = end;
    }
  }
  return sent;
}

// 1 if all of the run found room.
std::size_t StreamPort::enqueue(const ports::TxDatagram& run) {
  bool all = true;
  bool tell = false;
  {
    const Lock lock(mutex_);
    const MemberId member{load_be32(run.to.ip.bytes.data() + 12)};
    const auto it = streams_.find(member);
    if (it == streams_.end() || stream_endpoint(member) != run.to) return 0;
    Stream& stream = it->second;
    const std::size_t size = run.segment_size == 0 ? run.bytes.size() : run.segment_size;
    for (ByteView rest = run.bytes; !rest.empty();) {
      const ByteView datagram = rest.first(std::min(size, rest.size()));
      rest = rest.subspan(datagram.size());
      all = all && datagram.size() <= kMaxDatagram && stream.queued + datagram.size() <= kMaxQueued;
      if (!all) break;
      stream.queued += datagram.size();
      stream.queue.push_back({Bytes(datagram.begin(), datagram.end())});
    }
    if (!stream.queue.empty()) waiting_.insert(member);
    tell = !stream.queue.empty() && !std::exchange(told_, true);
  }
  if (tell) on_queued_();
  return all ? 1 : 0;
}

void StreamPort::open(MemberId member) {
  const Lock lock(mutex_);
  streams_.try_emplace(member);
}

std::size_t StreamPort::close(MemberId member) {
  const Lock lock(mutex_);
  waiting_.erase(member);
  const auto closed = streams_.extract(member);
  return closed ? closed.mapped().queue.size() : 0;
}

// Those that arrived since the last call have no time yet; they are at the end.
void StreamPort::Stream::look(Instant now) {
  for (auto q = queue.rbegin(); q != queue.rend() && q->since == kNever; ++q) q->since = now;
}

std::vector<MemberId> StreamPort::take_waiting(Instant now) {
  const Lock lock(mutex_);
  told_ = false;
  for (const MemberId member : waiting_) streams_.at(member).look(now);
  return {waiting_.begin(), waiting_.end()};
}

bool StreamPort::waits(MemberId member) const {
  const Lock lock(mutex_);
  return waiting_.contains(member);
}

std::vector<Bytes> StreamPort::take(MemberId member, std::size_t room, Instant now, std::size_t& too_old) {
  std::vector<Bytes> out;
  const Lock lock(mutex_);
  const auto it = streams_.find(member);
  if (it == streams_.end()) return out;
  Stream& stream = it->second;
  stream.look(now);
  room = std::min(room, kMaxTaken);
  std::size_t taken = 0;
  while (!stream.queue.empty() && out.size() < wire::kMaxRelayedPerMessage) {
    Queued& first = stream.queue.front();
    const std::size_t size = first.bytes.size();
    if (now - first.since > kMaxAge) {
      ++too_old;
    } else {
      // A large one might wait for ever for enough room next to other traffic, so any room is enough for the first.
      if (out.empty() ? room == 0 : taken + size > room) break;
      taken += size;
      out.push_back(std::move(first.bytes));
    }
    stream.queued -= size;
    stream.queue.pop_front();
  }
  if (stream.queue.empty()) waiting_.erase(member);
  return out;
}

std::size_t StreamPort::arrive(MemberId member, std::vector<Bytes> datagrams) {
  std::size_t taken = 0;
  {
    const Lock lock(mutex_);
    const auto it = streams_.find(member);
    if (it == streams_.end()) return 0;
    for (Bytes& bytes : datagrams) {
      if (bytes.empty() || it->second.arrived + bytes.size() > kMaxArrived) continue;
      it->second.arrived += bytes.size();
      arrived_.push_back({member, std::move(bytes)});
      ++taken;
    }
    arrived_count_.store(arrived_.size(), std::memory_order_release);
  }
  if (taken > 0) on_arrived_();
  return taken;
}

}  // namespace eps::dataplane
