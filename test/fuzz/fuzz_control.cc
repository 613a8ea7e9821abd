// SPDX-License-Identifier: MIT

// The decoder of the control channel on arbitrary bytes: whatever it returns stays within base/limits.h, fits into a
// frame again and survives a round trip unchanged.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "wire/control_messages.h"

namespace {

using namespace eps;

void check_text(std::string_view text, std::size_t limit) {
  EPS_CHECK(text.size() <= limit);
  EPS_CHECK(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }));
}

void check_candidates(const std::vector<Candidate>& candidates) {
  EPS_CHECK(candidates.size() <= kMaxCandidates);
  for (const Candidate& c : candidates) {
    EPS_CHECK(c.endpoint.valid());
    EPS_CHECK(c.kind >= Candidate::Kind::local && c.kind <= Candidate::Kind::mapped);
  }
}

void check_member(const Member& m) {
  EPS_CHECK(m.id.value >= 1 && m.id.value <= 0xffffff);
  EPS_CHECK(valid_name(m.name));
  EPS_CHECK(!m.mac.is_group());
  check_text(m.version, kMaxVersionSize);
  check_candidates(m.candidates);
}

struct Limits {
  void operator()(const wire::Hello& m) const {
    EPS_CHECK(m.name.size() <= kMaxNameSize);
    check_text(m.version, kMaxVersionSize);
  }
  void operator()(const wire::Candidates& m) const { check_candidates(m.candidates); }
  void operator()(const wire::Welcome& m) const {
    check_member(m.self);
    check_text(m.version, kMaxVersionSize);
    const Ip4Network& network = m.network.network;
    EPS_CHECK(network.prefix >= 1 && network.prefix <= 30);
    EPS_CHECK((network.base.value & ~network.mask()) == 0 && network.contains(m.self.address));
    EPS_CHECK(m.network.mtu >= kMinMtu && m.network.mtu <= kMaxMtu);
    EPS_CHECK(m.data_port != 0);
  }
  void operator()(const wire::MemberDelta& m) const {
    EPS_CHECK(m.delta.upserts.size() <= wire::kMaxMembersPerDelta);
    for (const Member& member : m.delta.upserts) check_member(member);
    for (const MemberId id : m.delta.removed) EPS_CHECK(id.value >= 1 && id.value <= 0xffffff);
    MemberList list;
    const bool applied = list.apply(m.delta);
    EPS_CHECK(applied ? list.version() == m.delta.to : list.members().empty());
  }
  void operator()(const wire::Refused& m) const { check_text(m.sentence, wire::kMaxSentence); }
  template <class Empty>
  void operator()(const Empty&) const {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = wire::decode(std::as_bytes(std::span(data, size)));
  if (!message) return 0;
  std::visit(Limits{}, *message);
  if (std::holds_alternative<wire::UnknownMessage>(*message)) return 0;
  const Bytes again = wire::encode(*message);
  EPS_CHECK(again.size() <= wire::kMaxControlMessage);
  const auto back = wire::decode(again);
  EPS_CHECK(back.has_value());
  EPS_CHECK(back->index() == message->index());
  EPS_CHECK(wire::encode(*back) == again);
  return 0;
}
