// SPDX-License-Identifier: MIT
#include "node/relay_directory.h"

#include "dataplane/stream_port.h"
#include "node/peer.h"

namespace eps::node {
namespace {

constexpr Duration kOfferAgain = std::chrono::seconds(5);

// Where datagrams to this peer go while a session has a direct path.
const Way* direct_way(const Peer& peer) {
  return peer.sessions.current() && peer.path.direct() ? &*peer.path.path() : nullptr;
}

}  // namespace

RelayDirectory::ServerChange RelayDirectory::set_server(const Endpoint& server, std::uint32_t tag, ServerRelay by,
                                                        ports::SocketId socket) {
  const dataplane::RelayHop hop{kServerRelay, server, socket, tag};
  ServerChange change;
  change.address = server_.endpoint.ip != server.ip;
  change.socket = server_.socket != socket;
  change.usable = by != ServerRelay::none && (!server_relays() || server_ != hop);
  server_ = hop;
  server_inside_ = {kServerRelay, dataplane::stream_endpoint(kServerRelay), 0, tag};
  server_by_ = by;
  return change;
}

void RelayDirectory::on_member(const Member& member) {
  if (member.relays) {
    relaying_.insert(member.id);
  } else {
    relaying_.erase(member.id);
  }
}

void RelayDirectory::on_session(Peer& peer) {
  while (for_others_ && peer.relay.ours_ == 0) peer.relay.ours_ = rng_.u32();
  // The peer may have restarted and lost all offers.
  peer.relay.told_by_.reset();
}

bool RelayDirectory::on_offer(Peer& peer, std::uint32_t tag) {
  if (std::exchange(peer.relay.theirs_, tag) == tag) return false;
  if (tag != 0) offering_.emplace(peer.member.id, &peer);
  return true;
}

void RelayDirectory::end_sessions(Peer& peer) {
  peer.relay.theirs_ = peer.relay.ours_ = 0;
  peer.relay.told_by_.reset();
  offering_.erase(peer.member.id);
}

void RelayDirectory::forget(MemberId member) {
  quotas_.forget(member);
  offering_.erase(member);
  relaying_.erase(member);
}

std::optional<dataplane::RelayHop> RelayDirectory::hop_of(MemberId relay) const {
  if (relay == kServerRelay) {
    if (!server_relays()) return std::nullopt;
    return server_by_ == ServerRelay::udp ? server_ : server_inside_;
  }
  const auto it = offering_.find(relay);
  const Way* way = it == offering_.end() ? nullptr : direct_way(*it->second);
  if (way == nullptr || it->second->relay.theirs_ == 0) return std::nullopt;
  return dataplane::RelayHop{relay, way->to, way->socket, it->second->relay.theirs_};
}

std::vector<MemberId> RelayDirectory::usable_for(const Peer& peer) const {
  std::vector<MemberId> out;
  // The server cannot relay to a member that it believes offline.
  if (server_relays() && peer.member.online) out.push_back(kServerRelay);
  for (const auto& [id, other] : offering_) {
    if (out.size() > kMaxMemberRelays) break;
    if (id != peer.member.id && hop_of(id)) out.push_back(id);
  }
  return out;
}

std::vector<dataplane::RelayHop> RelayDirectory::hops() const {
  std::vector<dataplane::RelayHop> out;
  if (server_.tag != 0) out = {server_, server_inside_};
  for (const auto& [id, other] : offering_) {
    auto hop = hop_of(id);
    if (!hop) continue;
    // It may send to us by another of the ways than we do to it.
    const Endpoint in_use = hop->endpoint;
    out.push_back(*hop);
    for (const Endpoint& from : other->path.answering()) {
      if (from == in_use) continue;
      hop->endpoint = from;
      out.push_back(*hop);
    }
  }
  return out;
}

std::vector<MemberId> RelayDirectory::to_seek(MemberId peer) const {
  std::vector<MemberId> out;
  for (const MemberId id : relaying_) {
    if (out.size() == kMaxMemberRelays) break;
    if (id != peer) out.push_back(id);
  }
  return out;
}

bool RelayDirectory::lacks_offer(const Peer& relay, Instant now) const {
  // A new session brings the offer again, if the one sent with this was lost.
  return !relay.sessions.current() ||
         (relay.relay.theirs_ == 0 && relay.path.direct() && now - relay.sessions.began() > kOfferAgain);
}

std::optional<std::uint32_t> RelayDirectory::take_offer(Peer& peer) const {
  if (!for_others_ || direct_way(peer) == nullptr || peer.relay.told_by_ == peer.path.path()) return std::nullopt;
  peer.relay.told_by_ = peer.path.path();
  return peer.relay.ours_;
}

std::optional<dataplane::RelayMember> RelayDirectory::service_for(const Peer& peer) {
  const Record& record = peer.relay;
  const Way* way = direct_way(peer);
  if (!for_others_ || record.ours_ == 0 || way == nullptr) return std::nullopt;
  const auto quota = quotas_.limit().any() ? quotas_.of(peer.member.id) : nullptr;
  return dataplane::RelayMember{peer.member.id, record.ours_, way->to, way->socket,
                                record.served_, false,        quota,   peer.path.answering()};
}

std::shared_ptr<const dataplane::RelayTable> RelayDirectory::serves(const std::map<MemberId, Peer*>& peers) {
  if (!for_others_) return nullptr;
  std::vector<dataplane::RelayMember> served;
  for (const auto& [id, peer] : peers) {
    if (auto entry = service_for(*peer)) served.push_back(std::move(*entry));
  }
  if (serves_ != nullptr && served == served_) return serves_;
  auto table = std::make_shared<dataplane::RelayTable>();
  for (const dataplane::RelayMember& member : served) table->put(member);
  served_ = std::move(served);
  serves_ = std::move(table);
  return serves_;
}

}  // namespace eps::node
