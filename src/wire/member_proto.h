// SPDX-License-Identifier: MIT
#pragma once

// Converts members and networks between the domain and protobuf, for the messages and files of this room. Each take()
// returns false for a value that breaks a limit. Includes generated code: for .cc files of wire only.

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "control.pb.h"
#include "model/network.h"

namespace eps::wire {

bool printable(char c);
bool valid_id(std::uint32_t id);
bool valid_version(const std::string& text);

template <std::size_t N>
bool take(const std::string& from, std::array<std::byte, N>& to) {
  if (from.size() != N) return false;
  std::memcpy(to.data(), from.data(), N);
  return true;
}
inline bool take(const std::string& from, RareSignature& to) {
  RareSignature::Bytes bytes;
  if (!take(from, bytes)) return false;
  to = bytes;
  return true;
}
bool take(const proto::Candidate& from, Candidate& to);
bool take(const proto::Member& from, Member& to);
bool take(const proto::Policy& from, NetworkPolicy& to);
template <class Repeated>
bool take_candidates(const Repeated& from, std::vector<Candidate>& to) {
  if (from.size() > static_cast<int>(kMaxCandidates)) return false;
  return std::all_of(from.begin(), from.end(), [&](const auto& c) { return take(c, to.emplace_back()); });
}
// The fields network_id, network, prefix, mtu and network6 of any message.
template <class Message>
bool take_network(const Message& from, NetworkInfo& to) {
  if (from.prefix() < 1 || from.prefix() > 30 || from.mtu() < kMinMtu || from.mtu() > kMaxMtu) return false;
  to.network = {{from.network()}, static_cast<std::uint8_t>(from.prefix())};
  to.mtu = static_cast<std::uint16_t>(from.mtu());
  if (!from.network6().empty()) {
    IpNetwork& network6 = to.network6.emplace(IpNetwork{{}, 64});
    if (!take(from.network6(), network6.base.bytes) || !usable_network6(network6)) return false;
  }
  return take(from.network_id(), to.id.bytes) && (to.network.base.value & ~to.network.mask()) == 0;
}

inline std::string text_of(ByteView bytes) {
  return std::string(as_text(bytes));
}
// Zero is left out.
inline bool take_recovery(const std::string& from, RecoveryId& to) {
  return from.empty() || take(from, to);
}
template <class Message>
void put_recovery(const RecoveryId& from, Message& to) {
  if (from != RecoveryId{}) to.set_recovery(text_of(from));
}
void put(const Candidate& from, proto::Candidate& to);
void put(const Member& from, proto::Member& to);
void put(const NetworkPolicy& from, proto::Policy& to);
// Without the volatile fields.
void put_stable(const Member& from, proto::Member& to);
template <class Message>
void put_network(const NetworkInfo& from, Message& to) {
  to.set_network_id(text_of(from.id.bytes));
  to.set_network(from.network.base.value);
  to.set_prefix(from.network.prefix);
  to.set_mtu(from.mtu);
  if (from.network6) to.set_network6(text_of(from.network6->base.bytes));
}

}  // namespace eps::wire
