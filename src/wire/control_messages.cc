#include "wire/control_messages.h"

#include <algorithm>

#include "wire/member_proto.h"
#include "wire/report_proto.h"

namespace eps::wire {
namespace {

using wire::put;
using wire::take;

std::optional<ControlMessage> take(const proto::Hello& from) {
  // The name is what a client calls itself; the registry makes a valid one of it.
  if (from.name().size() > kMaxNameSize || !valid_version(from.version())) return std::nullopt;
  return Hello{from.name(), from.version(), from.list_version(), from.relays(), Features(from.features())};
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

std::optional<ControlMessage> take(const proto::Relay& from) {
  Relay out;
  for (const std::string& datagram : from.datagrams()) {
    // Datagrams may be lost, and that is better than the connection.
    if (out.datagrams.size() == kMaxRelayedPerMessage) break;
    out.datagrams.emplace_back(as_view(datagram).begin(), as_view(datagram).end());
  }
  return out;
}

std::optional<ControlMessage> take(const proto::Refused& from) {
  if (from.sentence().size() > kMaxSentence) return std::nullopt;
  const auto code = from.code() <= 3 ? static_cast<RefusalCode>(from.code()) : RefusalCode::other;
  // It must reach the user, so what is strange in it is masked, not refused.
  Refused out{code, from.sentence()};
  std::replace_if(
      out.sentence.begin(), out.sentence.end(), [](char c) { return !printable(c); }, '?');
  return out;
}

// Domain to proto.

void put(const Hello& from, proto::Envelope& out) {
  auto& to = *out.mutable_hello();
  to.set_name(from.name);
  to.set_version(from.version);
  to.set_list_version(from.list_version);
  to.set_relays(from.relays);
  to.set_features(from.features.bits());
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
}
void put(const MemberDelta& from, proto::Envelope& out) {
  auto& to = *out.mutable_delta();
  to.set_from(from.delta.from);
  to.set_to(from.delta.to);
  to.set_full(from.delta.full);
  to.set_last(from.last);
  for (const Member& m : from.delta.upserts) put(m, *to.add_upserts());
  for (const MemberId id : from.delta.removed) to.add_removed(id.value);
  if (from.last) {
    to.set_digest(text_of(from.digest));
    to.set_signature(text_of(from.signature));
  }
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
    case proto::Envelope::kReportRequest:
      out = ReportRequest{};
      break;
    case proto::Envelope::kReport:
      if (TrafficReport report; wire::take(envelope.report(), report)) out = std::move(report);
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
