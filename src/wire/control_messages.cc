#include "wire/control_messages.h"

#include <algorithm>

#include "control.pb.h"
#include "wire/report_proto.h"

namespace eps::wire {
namespace {

bool printable(char c) {
  return c >= ' ' && c <= '~';
}

bool valid_id(std::uint32_t id) {
  return id >= 1 && id <= 0xffffff;
}

bool valid_version(const std::string& text) {
  return text.size() <= kMaxVersionSize && std::all_of(text.begin(), text.end(), printable);
}

// Proto to domain. Each returns false for a value that breaks a limit.

template <std::size_t N>
bool take(const std::string& from, std::array<std::byte, N>& to) {
  if (from.size() != N) return false;
  std::memcpy(to.data(), from.data(), N);
  return true;
}

bool take(const proto::Candidate& from, Candidate& to) {
  const bool known = from.kind() >= 1 && from.kind() <= static_cast<unsigned>(Candidate::Kind::seen);
  to.kind = static_cast<Candidate::Kind>(from.kind());
  to.endpoint.port = static_cast<std::uint16_t>(from.port());
  return known && from.port() >= 1 && from.port() <= 65535 && take(from.ip(), to.endpoint.ip.bytes);
}

template <class Repeated>
bool take_candidates(const Repeated& from, std::vector<Candidate>& to) {
  if (from.size() > static_cast<int>(kMaxCandidates)) return false;
  for (const auto& c : from) {
    if (!take(c, to.emplace_back())) return false;
  }
  return true;
}

bool take(const proto::Member& from, Member& to) {
  to.id = {from.id()};
  to.name = from.name();
  to.address = {from.address()};
  to.online = from.online();
  to.relays = from.relays();
  to.version = from.version();
  return valid_id(from.id()) && valid_name(to.name) && valid_version(to.version) && take(from.key(), to.key.bytes) &&
         take(from.mac(), to.mac.bytes) && !to.mac.is_group() && take_candidates(from.candidates(), to.candidates);
}

std::optional<ControlMessage> take(const proto::Hello& from) {
  // The name is what a client calls itself; the registry makes a valid one of it.
  if (from.name().size() > kMaxNameSize || !valid_version(from.version())) return std::nullopt;
  return Hello{from.name(), from.version(), from.list_version(), from.relays()};
}

std::optional<ControlMessage> take(const proto::Candidates& from) {
  Candidates out;
  if (!take_candidates(from.candidates(), out.candidates)) return std::nullopt;
  return out;
}

std::optional<ControlMessage> take(const proto::Welcome& from) {
  Welcome out;
  out.network.network = {{from.network()}, static_cast<std::uint8_t>(from.prefix())};
  out.network.mtu = static_cast<std::uint16_t>(from.mtu());
  out.data_port = static_cast<std::uint16_t>(from.data_port());
  out.relay_tag = from.relay_tag();
  out.version = from.version();
  const bool in_range = from.prefix() >= 1 && from.prefix() <= 30 && from.mtu() >= kMinMtu && from.mtu() <= kMaxMtu &&
                        from.data_port() >= 1 && from.data_port() <= 65535 && valid_version(out.version);
  if (!in_range || !take(from.network_id(), out.network.id.bytes) || !take(from.self(), out.self) ||
      !take(from.bind_key(), out.bind_key) || !take(from.signing_key(), out.signing_key.bytes) ||
      (out.network.network.base.value & ~out.network.network.mask()) != 0 ||
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

std::string text_of(ByteView bytes) {
  return std::string(as_text(bytes));
}

void put(const Candidate& from, proto::Candidate& to) {
  to.set_kind(static_cast<std::uint32_t>(from.kind));
  to.set_ip(text_of(from.endpoint.ip.bytes));
  to.set_port(from.endpoint.port);
}

void put(const Member& from, proto::Member& to) {
  to.set_id(from.id.value);
  to.set_key(text_of(from.key.bytes));
  to.set_name(from.name);
  to.set_mac(text_of(from.mac.bytes));
  to.set_address(from.address.value);
  to.set_online(from.online);
  to.set_relays(from.relays);
  to.set_version(from.version);
  for (const Candidate& c : from.candidates) put(c, *to.add_candidates());
}

void put(const Hello& from, proto::Envelope& out) {
  auto& to = *out.mutable_hello();
  to.set_name(from.name);
  to.set_version(from.version);
  to.set_list_version(from.list_version);
  to.set_relays(from.relays);
}
void put(const Candidates& from, proto::Envelope& out) {
  auto& to = *out.mutable_candidates();
  for (const Candidate& c : from.candidates) put(c, *to.add_candidates());
}
void put(const Welcome& from, proto::Envelope& out) {
  auto& to = *out.mutable_welcome();
  to.set_network_id(text_of(from.network.id.bytes));
  to.set_network(from.network.network.base.value);
  to.set_prefix(from.network.network.prefix);
  to.set_mtu(from.network.mtu);
  put(from.self, *to.mutable_self());
  to.set_data_port(from.data_port);
  to.set_bind_key(text_of(from.bind_key));
  to.set_relay_tag(from.relay_tag);
  to.set_version(from.version);
  to.set_signing_key(text_of(from.signing_key.bytes));
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
