// SPDX-License-Identifier: MIT
#include "wire/control_messages.h"

#include <algorithm>

#include "wire/member_proto.h"
#include "wire/report_proto.h"

namespace eps::wire {
namespace {

using wire::put;
using wire::take;

std::optional<ControlMessage> take(const proto::Hello& from) {
  // The name is the client's choice; the registry makes it valid.
  if (from.name().size() > kMaxNameSize || !valid_version(from.version())) return std::nullopt;
  Hello out{from.name(), from.version(), from.list_version(), from.relays(), Features(from.features())};
  if (!from.root().empty() && !take(from.root(), out.root.emplace())) return std::nullopt;
  out.run = from.run();
  if (!take_recovery(from.recovery(), out.recovery)) return std::nullopt;
  return out;
}

std::optional<ControlMessage> take(const proto::Candidates& from) {
  Candidates out;
  if (!take_candidates(from.candidates(), out.candidates)) return std::nullopt;
  return out;
}

std::optional<ControlMessage> take(const proto::Welcome& from) {
  Welcome out;
  out.data_port = static_cast<std::uint16_t>(from.data_port());
  out.also_port = static_cast<std::uint16_t>(from.also_port());
  out.relay_tag = from.relay_tag();
  out.version = from.version();
  out.features = Features(from.features());
  const bool in_range =
      from.data_port() >= 1 && from.data_port() <= 65535 && from.also_port() <= 65535 && valid_version(out.version);
  if (!take_recovery(from.recovery(), out.recovery) ||
      (!from.recovery_proof().empty() && !take(from.recovery_proof(), out.recovery_proof.emplace()))) {
    return std::nullopt;
  }
  if (!in_range || !take_network(from, out.network) || !take(from.self(), out.self) ||
      !take(from.bind_key(), out.bind_key) || !take(from.signing_key(), out.signing_key.bytes) ||
      !out.network.network.contains(out.self.address)) {
    return std::nullopt;
  }
  return out;
}

std::optional<ControlMessage> take(const proto::MemberDelta& from) {
  MemberDelta out;
  out.delta.from = from.from();
  out.delta.to = from.to();
  out.delta.full = from.full();
  out.last = from.last();
  if (from.upserts_size() > static_cast<int>(kMaxMembersPerDelta)) return std::nullopt;
  for (const auto& m : from.upserts()) {
    if (!take(m, out.delta.upserts.emplace_back())) return std::nullopt;
  }
  if (from.removed_size() > static_cast<int>(kMaxRemovedPerDelta)) return std::nullopt;
  for (const std::uint32_t id : from.removed()) {
    if (!valid_id(id)) return std::nullopt;
    out.delta.removed.push_back({id});
  }
  if (out.last && (!take(from.digest(), out.digest) || !take(from.signature(), out.signature))) return std::nullopt;
  return out;
}

bool take_ids(const google::protobuf::RepeatedField<std::uint32_t>& from, std::vector<MemberId>& to) {
  for (const std::uint32_t id : from) {
    if (!valid_id(id)) return false;
    to.push_back({id});
  }
  return true;
}

std::optional<ControlMessage> take(const proto::Records& from) {
  Records out;
  out.last = from.last();
  out.delta.from = from.from();
  out.delta.to = from.to();
  out.delta.full = from.full();
  out.more = from.more();
  if (from.upserts_size() > static_cast<int>(kMaxMembersPerDelta)) return std::nullopt;
  for (const auto& m : from.upserts()) {
    if (!take(m, out.delta.upserts.emplace_back())) return std::nullopt;
  }
  if (from.removed_size() > static_cast<int>(kMaxRemovedPerDelta) || !take_ids(from.removed(), out.delta.removed)) {
    return std::nullopt;
  }
  if (out.last && (!take(from.root(), out.root) || !take(from.signature(), out.signature))) return std::nullopt;
  if (out.last && from.has_policy() && !take(from.policy(), out.delta.policy.emplace())) return std::nullopt;
  return out;
}

// Ids as alternating lengths of gaps and runs.
bool take_runs(const google::protobuf::RepeatedField<std::uint32_t>& from, std::vector<MemberId>& to) {
  if (from.size() % 2 != 0) return false;
  std::uint64_t at = 0;
  for (int i = 0; i < from.size(); i += 2) {
    at += from[i];
    const std::uint64_t end = at + from[i + 1];
    if (from[i + 1] > kMaxMembers || to.size() + from[i + 1] > kMaxMembers || end > 0x1000000) return false;
    for (; at < end; ++at) {
      if (!valid_id(static_cast<std::uint32_t>(at))) return false;
      to.push_back({static_cast<std::uint32_t>(at)});
    }
  }
  return true;
}

std::optional<ControlMessage> take(const proto::States& from) {
  States out{from.all(), from.on_demand(), {}, {}, {}, from.more()};
  if (from.states_size() > static_cast<int>(kMaxMembersPerDelta)) return std::nullopt;
  for (const auto& s : from.states()) {
    MemberState& to = out.states.emplace_back(MemberState{{s.id()}, s.online(), s.version(), s.relays(), {}});
    if (!valid_id(s.id()) || !valid_version(to.version) || !take_candidates(s.candidates(), to.candidates)) {
      return std::nullopt;
    }
  }
  if (!take_runs(from.online(), out.online) || !take_runs(from.offline(), out.offline)) return std::nullopt;
  return out;
}

std::optional<ControlMessage> take(const proto::Want& from) {
  Want out;
  if (from.members_size() > static_cast<int>(kMaxWanted) || !take_ids(from.members(), out.members)) {
    return std::nullopt;
  }
  return out;
}

std::optional<ControlMessage> take(const proto::Relay& from) {
  Relay out;
  for (const std::string& datagram : from.datagrams()) {
    // Losing datagrams is better than losing the connection.
    if (out.datagrams.size() == kMaxRelayedPerMessage) break;
    out.datagrams.emplace_back(as_view(datagram).begin(), as_view(datagram).end());
  }
  return out;
}

template <class Repeated>
bool take_entries(const Repeated& from, std::vector<Bytes>& to) {
  if (from.size() > static_cast<int>(kMaxLockEntries)) return false;
  for (const std::string& entry : from) {
    if (entry.size() > kMaxLockEntry) return false;
    to.emplace_back(as_view(entry).begin(), as_view(entry).end());
  }
  return true;
}

std::optional<ControlMessage> take(const proto::Lock& from) {
  Lock out{.entries = {}, .more = from.more()};
  if (!take_entries(from.entries(), out.entries)) return std::nullopt;
  return out;
}

std::optional<ControlMessage> take(const proto::LockChange& from) {
  LockProposed out{.ticket = from.ticket(), .change = {}};
  if (!take_entries(from.entries(), out.change.entries) || from.marks_size() > static_cast<int>(kMaxMarksPerChange) ||
      (from.marks_size() > 0 && !take(from.lock(), out.change.lock))) {
    return std::nullopt;
  }
  for (const auto& m : from.marks()) {
    auto& [id, mark] = out.change.marks.emplace_back();
    id = {m.member()};
    mark.sequence = m.sequence();
    if (!valid_id(m.member()) || mark.sequence == 0 || !take(m.record(), mark.record)) return std::nullopt;
    if (!m.grants().empty() && !take(m.grants(), mark.grants)) return std::nullopt;
  }
  out.change.policy_sequence = from.policy_sequence();
  if (from.policy_sequence() != 0 &&
      (!take(from.policy_signature(), out.change.policy_signature) || !take(from.lock(), out.change.lock))) {
    return std::nullopt;
  }
  return out;
}

// For a person, like a refusal.
std::string masked(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return !printable(c); }, '?');
  return text;
}

std::optional<ControlMessage> take(const proto::LockAnswer& from) {
  if (from.sentence().size() > kMaxSentence) return std::nullopt;
  return LockAnswer{from.ticket(), from.done(), masked(from.sentence())};
}

std::optional<ControlMessage> take(const proto::Rekey& from) {
  if (from.handshake().size() > kMaxRekey) return std::nullopt;
  const ByteView handshake = as_view(from.handshake());
  return Rekey{{handshake.begin(), handshake.end()}};
}

std::optional<ControlMessage> take(const proto::RelayLimited& from) {
  if (from.limit().size() > kMaxSentence) return std::nullopt;
  return RelayLimited{masked(from.limit())};
}

std::optional<ControlMessage> take(const proto::Refused& from) {
  if (from.sentence().size() > kMaxSentence) return std::nullopt;
  const auto code = from.code() <= 3 ? static_cast<RefusalCode>(from.code()) : RefusalCode::other;
  // It must reach the user, so strange characters in it are masked, not refused.
  return Refused{code, masked(from.sentence())};
}

// Domain to proto.

void put(const Hello& from, proto::Envelope& out) {
  auto& to = *out.mutable_hello();
  to.set_name(from.name);
  to.set_version(from.version);
  to.set_list_version(from.list_version);
  to.set_relays(from.relays);
  to.set_features(from.features.bits());
  if (from.root) to.set_root(text_of(*from.root));
  to.set_run(from.run);
  put_recovery(from.recovery, to);
}
void put(const Candidates& from, proto::Envelope& out) {
  auto& to = *out.mutable_candidates();
  for (const Candidate& c : from.candidates) put(c, *to.add_candidates());
}
void put(const Welcome& from, proto::Envelope& out) {
  auto& to = *out.mutable_welcome();
  put_network(from.network, to);
  put(from.self, *to.mutable_self());
  to.set_data_port(from.data_port);
  to.set_bind_key(text_of(from.bind_key));
  to.set_relay_tag(from.relay_tag);
  to.set_version(from.version);
  to.set_signing_key(text_of(from.signing_key.bytes));
  to.set_also_port(from.also_port);
  to.set_features(from.features.bits());
  put_recovery(from.recovery, to);
  if (from.recovery_proof) to.set_recovery_proof(text_of(*from.recovery_proof));
}
void put(const MemberDelta& from, proto::Envelope& out) {
  auto& to = *out.mutable_delta();
  to.set_from(from.delta.from);
  to.set_to(from.delta.to);
  to.set_full(from.delta.full);
  to.set_last(from.last);
  // Version 0.1 knows neither network lock nor groups. Parts of 64 members
  // with all that they have are as large as they may be.
  for (const Member& m : from.delta.upserts) {
    Member old = m;
    old.lock = {};
    old.groups.clear();
    put(old, *to.add_upserts());
  }
  for (const MemberId id : from.delta.removed) to.add_removed(id.value);
  if (from.last) {
    to.set_digest(text_of(from.digest));
    to.set_signature(text_of(from.signature));
  }
}
void put(const Records& from, proto::Envelope& out) {
  auto& to = *out.mutable_records();
  for (const Member& m : from.delta.upserts) put_stable(m, *to.add_upserts());
  for (const MemberId id : from.delta.removed) to.add_removed(id.value);
  to.set_last(from.last);
  if (!from.last) return;
  to.set_from(from.delta.from);
  to.set_to(from.delta.to);
  to.set_full(from.delta.full);
  to.set_root(text_of(from.root));
  to.set_more(from.more);
  to.set_signature(text_of(from.signature));
  if (from.delta.policy) put(*from.delta.policy, *to.mutable_policy());
}
template <class Repeated>
void put_runs(const std::vector<MemberId>& from, Repeated& to) {
  std::uint32_t end = 0;
  for (std::size_t i = 0; i < from.size();) {
    std::size_t next = i + 1;
    while (next < from.size() && from[next].value == from[next - 1].value + 1) ++next;
    to.Add(from[i].value - end);
    to.Add(static_cast<std::uint32_t>(next - i));
    end = from[next - 1].value + 1;
    i = next;
  }
}
void put(const States& from, proto::Envelope& out) {
  auto& to = *out.mutable_states();
  to.set_all(from.all);
  to.set_on_demand(from.on_demand);
  to.set_more(from.more);
  for (const MemberState& s : from.states) {
    auto& state = *to.add_states();
    state.set_id(s.id.value);
    state.set_online(s.online);
    state.set_version(s.version);
    state.set_relays(s.relays);
    for (const Candidate& c : s.candidates) put(c, *state.add_candidates());
  }
  put_runs(from.online, *to.mutable_online());
  for (std::uint32_t at = 0; const auto& [begin, end] : from.online_runs.runs()) {
    to.add_online(begin - at);
    to.add_online(end - begin);
    at = end;
  }
  put_runs(from.offline, *to.mutable_offline());
}
void put(const Want& from, proto::Envelope& out) {
  auto& to = *out.mutable_want();
  for (const MemberId id : from.members) to.add_members(id.value);
}
void put(const Lock& from, proto::Envelope& out) {
  auto& to = *out.mutable_lock();
  for (const Bytes& entry : from.entries) to.add_entries(text_of(entry));
  to.set_more(from.more);
}
void put(const LockProposed& from, proto::Envelope& out) {
  auto& to = *out.mutable_lock_change();
  to.set_ticket(from.ticket);
  for (const Bytes& entry : from.change.entries) to.add_entries(text_of(entry));
  if (!from.change.marks.empty() || from.change.policy_sequence != 0) to.set_lock(text_of(from.change.lock));
  for (const auto& [id, mark] : from.change.marks) {
    auto& m = *to.add_marks();
    m.set_member(id.value);
    m.set_sequence(mark.sequence);
    m.set_record(text_of(mark.record));
    if (mark.grants != LockMark{}.grants) m.set_grants(text_of(mark.grants));
  }
  if (from.change.policy_sequence == 0) return;
  to.set_policy_sequence(from.change.policy_sequence);
  to.set_policy_signature(text_of(from.change.policy_signature));
}
void put(const LockAnswer& from, proto::Envelope& out) {
  auto& to = *out.mutable_lock_answer();
  to.set_ticket(from.ticket);
  to.set_done(from.done);
  to.set_sentence(from.sentence.substr(0, kMaxSentence));
}
void put(const Refused& from, proto::Envelope& out) {
  out.mutable_refused()->set_code(static_cast<std::uint32_t>(from.code));
  out.mutable_refused()->set_sentence(from.sentence.substr(0, kMaxSentence));
}
void put(const Ping&, proto::Envelope& out) {
  out.mutable_ping();
}
void put(const Pong&, proto::Envelope& out) {
  out.mutable_pong();
}
void put(const Resync&, proto::Envelope& out) {
  out.mutable_resync();
}
void put(const Relay& from, proto::Envelope& out) {
  auto& to = *out.mutable_relay();
  for (const Bytes& datagram : from.datagrams) to.add_datagrams(datagram.data(), datagram.size());
}
void put(const RelayHere& from, proto::Envelope& out) {
  out.mutable_relay_here()->set_here(from.here);
}
void put(const Rekey& from, proto::Envelope& out) {
  out.mutable_rekey()->set_handshake(text_of(from.handshake));
}
void put(const RelayLimited& from, proto::Envelope& out) {
  out.mutable_relay_limited()->set_limit(from.limit.substr(0, kMaxSentence));
}
void put(const ReportRequest&, proto::Envelope& out) {
  out.mutable_report_request();
}
void put(const TrafficReport& from, proto::Envelope& out) {
  wire::put(from, *out.mutable_report());
}
void put(const UnknownMessage&, proto::Envelope&) {}

}  // namespace

Bytes encode(const ControlMessage& message) {
  proto::Envelope envelope;
  std::visit([&](const auto& m) { put(m, envelope); }, message);
  Bytes out(envelope.ByteSizeLong());
  envelope.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

Result<ControlMessage> decode(ByteView bytes) {
  proto::Envelope envelope;
  if (bytes.size() > kMaxControlMessage || !envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return make_error(Errc::corrupt, "a control message does not parse");
  }
  std::optional<ControlMessage> out;
  switch (envelope.message_case()) {
    case proto::Envelope::kHello:
      out = take(envelope.hello());
      break;
    case proto::Envelope::kCandidates:
      out = take(envelope.candidates());
      break;
    case proto::Envelope::kWelcome:
      out = take(envelope.welcome());
      break;
    case proto::Envelope::kDelta:
      out = take(envelope.delta());
      break;
    case proto::Envelope::kRefused:
      out = take(envelope.refused());
      break;
    case proto::Envelope::kPing:
      out = Ping{};
      break;
    case proto::Envelope::kPong:
      out = Pong{};
      break;
    case proto::Envelope::kResync:
      out = Resync{};
      break;
    case proto::Envelope::kRelay:
      out = take(envelope.relay());
      break;
    case proto::Envelope::kRelayHere:
      out = RelayHere{envelope.relay_here().here()};
      break;
    case proto::Envelope::kRelayLimited:
      out = take(envelope.relay_limited());
      break;
    case proto::Envelope::kReportRequest:
      out = ReportRequest{};
      break;
    case proto::Envelope::kReport:
      if (TrafficReport report; wire::take(envelope.report(), report)) out = std::move(report);
      break;
    case proto::Envelope::kRecords:
      out = take(envelope.records());
      break;
    case proto::Envelope::kStates:
      out = take(envelope.states());
      break;
    case proto::Envelope::kWant:
      out = take(envelope.want());
      break;
    case proto::Envelope::kLock:
      out = take(envelope.lock());
      break;
    case proto::Envelope::kLockChange:
      out = take(envelope.lock_change());
      break;
    case proto::Envelope::kLockAnswer:
      out = take(envelope.lock_answer());
      break;
    case proto::Envelope::kRekey:
      out = take(envelope.rekey());
      break;
    case proto::Envelope::MESSAGE_NOT_SET:
      if (envelope.mandatory()) {
        return make_error(Errc::unsupported, "the other side is newer and sent a message that this version lacks");
      }
      out = UnknownMessage{};
  }
  if (!out) return make_error(Errc::corrupt, "a control message breaks a limit");
  return std::move(*out);
}

}  // namespace eps::wire
