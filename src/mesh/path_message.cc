// SPDX-License-Identifier: MIT
#include "mesh/path_message.h"

#include <algorithm>

namespace eps::mesh {
namespace {

enum class Op : std::uint8_t {
  ping = 1,
  pong = 2,
  call = 3,
  find = 4,
  introduce = 5,
  offer = 6,
  size_ping = 7,
  size_pong = 8,
  counted_ping = 16,
  counted_pong = 17,
  groups = 18
};
constexpr std::uint8_t kMoved = 1;
constexpr std::uint8_t kGuessing = 2;

class Encoder {
 public:
  explicit Encoder(Bytes& out) : w_(out) {}

  void operator()(const PingMessage& m) {
    ping(m.counted ? Op::counted_ping : Op::ping, m.id, {});
    if (m.counted) counts({});
  }
  void operator()(const PongMessage& m) {
    ping(m.counts ? Op::counted_pong : Op::pong, m.id, m.seen_from);
    if (m.counts) counts(*m.counts);
  }
  void operator()(const CallMessage& m) {
    op(Op::call);
    w_.u8(static_cast<std::uint8_t>((m.moved ? kMoved : 0) | (m.guessing ? kGuessing : 0)));
    w_.u8(static_cast<std::uint8_t>(m.nat));
    candidates(m.candidates);
  }
  void operator()(const FindMessage& m) { about(Op::find, m.member, m.candidates); }
  void operator()(const IntroduceMessage& m) { about(Op::introduce, m.member, m.candidates); }
  void operator()(const OfferMessage& m) {
    op(Op::offer);
    w_.u32(m.tag);
  }
  void operator()(const SizePingMessage& m) {
    op(Op::size_ping);
    w_.u64(m.id);
    w_.bytes(Bytes(m.padding));
  }
  void operator()(const SizePongMessage& m) {
    op(Op::size_pong);
    w_.u64(m.id);
  }
  void operator()(const GroupsMessage& m) {
    op(Op::groups);
    w_.u8(m.filter.all ? 1 : 0);
    for (const Mac& mac : m.filter.macs) w_.bytes(mac.bytes);
  }

 private:
  void op(Op op) { w_.u8(static_cast<std::uint8_t>(op)); }
  void endpoint(const Endpoint& e) {
    w_.bytes(e.ip.bytes);
    w_.u16(e.port);
  }
  void ping(Op kind, std::uint64_t id, const Endpoint& seen_from) {
    op(kind);
    w_.u64(id);
    endpoint(seen_from);
  }
  void counts(const PongMessage::Counts& c) {
    w_.u32(c.arrived);
    w_.u32(c.lost_here);
  }
  void about(Op kind, MemberId member, const std::vector<Candidate>& all) {
    op(kind);
    w_.u24(member.value);
    candidates(all);
  }
  void candidates(const std::vector<Candidate>& all) {
    const std::size_t n = std::min(all.size(), kMaxCandidates);
    w_.u8(static_cast<std::uint8_t>(n));
    for (std::size_t i = 0; i < n; ++i) {
      w_.u8(static_cast<std::uint8_t>(all[i].kind));
      endpoint(all[i].endpoint);
    }
  }

  Writer w_;
};

Endpoint read_endpoint(Reader& in) {
  Endpoint e;
  e.ip.bytes = in.array<16>();
  e.port = in.u16();
  return e;
}

// False when there are too many or one is of an unknown kind.
bool read_candidates(Reader& in, std::vector<Candidate>& out) {
  const std::uint8_t n = in.u8();
  if (n > kMaxCandidates) return false;
  for (std::uint8_t i = 0; i < n; ++i) {
    const std::uint8_t kind = in.u8();
    const Endpoint endpoint = read_endpoint(in);
    if (kind < 1 || kind > static_cast<std::uint8_t>(Candidate::Kind::seen)) return false;
    out.push_back({static_cast<Candidate::Kind>(kind), endpoint});
  }
  return true;
}

std::optional<PathMessage> read_groups(Reader& in) {
  const std::uint8_t all = in.u8();
  GroupFilter filter{all == 1, {}};
  if (all > 1 || in.remaining() > (filter.all ? 0 : kMaxFilteredGroups * sizeof(Mac))) return std::nullopt;
  while (in.remaining() > 0) filter.macs.push_back({in.array<sizeof(Mac)>()});
  std::ranges::sort(filter.macs);
  return GroupsMessage{std::move(filter)};
}

std::optional<PathMessage> read(Reader& in) {
  const auto op = static_cast<Op>(in.u8());
  switch (op) {
    case Op::ping:
    case Op::counted_ping: {
      const PingMessage m{in.u64(), op == Op::counted_ping};
      read_endpoint(in);
      if (m.counted) in.u64();
      return m;
    }
    case Op::pong:
    case Op::counted_pong: {
      PongMessage m{in.u64(), {}};
      m.seen_from = read_endpoint(in);
      if (op == Op::counted_pong) m.counts = {.arrived = in.u32(), .lost_here = in.u32()};
      return m;
    }
    case Op::call: {
      CallMessage m;
      const std::uint8_t flags = in.u8();
      m.moved = (flags & kMoved) != 0;
      m.guessing = (flags & kGuessing) != 0;
      const std::uint8_t nat = in.u8();
      if (nat > static_cast<std::uint8_t>(NatMapping::per_destination)) return std::nullopt;
      m.nat = static_cast<NatMapping>(nat);
      if (!read_candidates(in, m.candidates)) return std::nullopt;
      return m;
    }
    case Op::find: {
      FindMessage m{{in.u24()}, {}};
      if (!read_candidates(in, m.candidates)) return std::nullopt;
      return m;
    }
    case Op::introduce: {
      IntroduceMessage m{{in.u24()}, {}};
      if (!read_candidates(in, m.candidates)) return std::nullopt;
      return m;
    }
    case Op::offer:
      return OfferMessage{in.u32()};
    case Op::size_ping: {
      SizePingMessage m{in.u64(), 0};
      m.padding = in.rest().size();
      return m;
    }
    case Op::size_pong:
      return SizePongMessage{in.u64()};
    case Op::groups:
      return read_groups(in);
  }
  return std::nullopt;
}

}  // namespace

Bytes encode(const PathMessage& message) {
  Bytes out;
  std::visit(Encoder(out), message);
  return out;
}

std::optional<PathMessage> decode_path_message(ByteView bytes) {
  Reader in(bytes);
  auto message = read(in);
  if (!in.done()) return std::nullopt;
  return message;
}

}  // namespace eps::mesh
