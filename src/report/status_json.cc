// SPDX-License-Identifier: MIT
#include "report/status_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "report/pairs.h"

namespace eps::report {
namespace {

using nlohmann::json;

std::int64_t seconds(Duration d) {
  return std::chrono::duration_cast<std::chrono::seconds>(d).count();
}

json or_null(const std::optional<Endpoint>& endpoint) {
  return endpoint ? json(to_string(*endpoint)) : json(nullptr);
}
json or_null(const std::string& text) {
  return text.empty() ? json(nullptr) : json(text);
}

json traffic_json(const TrafficTotals& t) {
  return {{"packets_sent", t.packets_sent},           {"bytes_sent", t.bytes_sent},
          {"packets_received", t.packets_received},   {"bytes_received", t.bytes_received},
          {"packets_forwarded", t.packets_forwarded}, {"bytes_forwarded", t.bytes_forwarded}};
}

json mappings_json(const std::vector<PortMapping>& mappings) {
  json out = json::array();
  for (const PortMapping& m : mappings) {
    out.push_back({{"transport", name_of(m.transport)},
                   {"port", m.port},
                   {"external_endpoint", to_string(m.external)},
                   {"method", m.method}});
  }
  return out;
}

json network_json(const NetworkInfo& n) {
  json out = {{"address", to_string(n.network)}, {"mtu", n.mtu}};
  if (n.network6) out["address6"] = to_string(*n.network6);
  return out;
}

json member_json(const Member& m) {
  json allowed = json::array();
  for (const IpNetwork& range : m.grants.ranges) allowed.push_back(to_string(range));
  if (m.grants.bridge) allowed.push_back("bridge");
  if (m.grants.dhcp) allowed.push_back("dhcp");
  return {{"name", m.name},     {"address", to_string(m.address)},      {"mac", to_string(m.mac)},
          {"id", m.id.value},   {"public_key", to_base32(m.key.bytes)}, {"version", m.version},
          {"online", m.online}, {"allowed", std::move(allowed)}};
}

// Where the network has an IPv6 prefix.
void put_address6(const std::optional<NetworkInfo>& network, const Mac& mac, json& out) {
  if (network && network->network6) out["address6"] = to_string(address6_of(*network->network6, mac));
}

json milliseconds(const std::optional<Duration>& d) {
  return d ? json(std::chrono::duration<double, std::milli>(*d).count()) : json(nullptr);
}

json peer_json(const PeerStatus& peer) {
  json out = member_json(peer.member);
  out["path"] = name_of(peer.path);
  out["endpoint"] = or_null(peer.endpoint);
  out["over_tcp"] = peer.over_tcp;
  out["last_handshake_seconds"] = peer.since_handshake ? json(seconds(*peer.since_handshake)) : json(nullptr);
  out["last_heard_seconds"] = peer.since_heard ? json(seconds(*peer.since_heard)) : json(nullptr);
  out["round_trip_ms"] = milliseconds(peer.round_trip);
  out["path_mtu"] = peer.path_mtu ? json(*peer.path_mtu) : json(nullptr);
  out["aead"] = or_null(peer.aead);
  out["aead_library"] = or_null(peer.aead_library);
  out["traffic"] = traffic_json(peer.traffic);
  out["nat"] = name_of(peer.nat);
  out["refused"] = peer.refused;
  out["unreachable"] = peer.unreachable;
  out["why_relayed"] = or_null(peer.why_relayed);
  out["how_to_mend"] = or_null(peer.how_to_mend);
  out["policy_drops"] = peer.policy_drops;
  return out;
}

json offloads_json(const OffloadStatus& o) {
  return {{"used", names_of(o.used)}, {"missing", names_of(o.missing)}};
}

json nat_json(const NatStatus& nat) {
  return {{"mapping", name_of(nat.mapping)}, {"filtering", name_of(nat.filtering)}};
}

std::string way_text(const Way& way) {
  if (way.direct()) return to_string(way.to);
  return *way.relay == kServerRelay ? "relay: server" : "relay: member " + std::to_string(way.relay->value);
}

}  // namespace

json to_json(const PeerWhy& why) {
  json out = {{"peer", peer_json(why.peer)},
              {"nat", nat_json(why.own_nat)},
              {"ways", json::array()},
              {"events", json::array()}};
  for (const WayStatus& w : why.ways) {
    out["ways"].push_back({{"way", way_text(w.way)},
                           {"origin", name_of(w.origin)},
                           {"in_use", w.in_use},
                           {"answers", w.answers},
                           {"round_trip_ms", milliseconds(w.round_trip)},
                           {"pings", w.pings},
                           {"pongs", w.pongs},
                           {"heard", w.heard},
                           {"since_ping_seconds", w.since_ping ? json(seconds(*w.since_ping)) : json(nullptr)},
                           {"since_answer_seconds", w.since_answer ? json(seconds(*w.since_answer)) : json(nullptr)}});
  }
  for (const PathEvent& e : why.events) {
    out["events"].push_back({{"seconds_ago", std::chrono::duration<double>(e.ago).count()}, {"what", e.what}});
  }
  return out;
}

json to_json(const ClientStatus& s) {
  json out = {{"program", "eps-client"},
              {"version", s.version},
              {"uptime_seconds", seconds(s.uptime)},
              {"list_version", list_version_number(s.list_version)},
              {"traffic", traffic_json(s.traffic)},
              {"drops", s.drops},
              {"port_mappings", mappings_json(s.port_mappings)},
              {"network", s.network ? network_json(*s.network) : json(nullptr)},
              {"connections_established", s.connections_established},
              {"nat", nat_json(s.nat)},
              {"name", s.name},
              {"public_key", to_base32(s.key.bytes)},
              {"device", s.device},
              {"address_device", nullptr},
              {"address", nullptr},
              {"mac", nullptr},
              {"data_port", s.data_port},
              {"offloads", offloads_json(s.offloads)},
              {"observed_endpoint", or_null(s.observed)},
              {"relay_over_tcp", s.relay_over_tcp},
              {"server",
               {{"connected", s.connected},
                {"endpoint", or_null(s.server)},
                {"note", s.server_note},
                {"rekeys", s.rekeys},
                {"version", or_null(s.server_version)}}},
              {"peers", json::array()}};
  if (s.self) {
    const std::string prefix = s.network ? "/" + std::to_string(s.network->network.prefix) : "";
    out["address"] = to_string(s.self->address) + prefix;
    out["mac"] = to_string(s.self->mac);
    put_address6(s.network, s.self->mac, out);
  }
  out["policy"] = nullptr;
  if (s.policy) {
    out["policy"] = {{"rules", s.policy->rules}, {"trouble", or_null(s.policy->trouble)}, {"dropped", json::array()}};
    for (const PolicyStatus::Dropped& d : s.policy->dropped) {
      out["policy"]["dropped"].push_back({{"line", d.line}, {"rule", d.rule}, {"packets", d.packets}});
    }
  }
  out["lock"] = nullptr;
  if (s.lock) {
    out["lock"] = {{"on", s.lock->on},
                   {"id", s.lock->id},
                   {"signers", s.lock->signers},
                   {"waits", s.lock->waits},
                   {"refused", s.lock->not_signed}};
  }
  out["findings"] = json::array();
  for (const LanFinding& f : s.findings) {
    out["findings"].push_back({{"what", f.what}, {"mend", f.mend}, {"seconds_ago", seconds(f.ago)}});
  }
  for (const PeerStatus& peer : s.peers) {
    out["peers"].push_back(peer_json(peer));
    put_address6(s.network, peer.member.mac, out["peers"].back());
  }
  return out;
}

json to_json(const ServerStatus& s) {
  json out = {{"program", "eps-server"},
              {"version", s.version},
              {"uptime_seconds", seconds(s.uptime)},
              {"list_version", list_version_number(s.list_version)},
              {"traffic", traffic_json(s.traffic)},
              {"drops", s.drops},
              {"port_mappings", mappings_json(s.port_mappings)},
              {"troubles", s.troubles},
              {"network", network_json(s.network)},
              {"port", s.port},
              {"offloads", offloads_json(s.offloads)},
              {"relay_limit", s.relay_limit.any() ? json(to_string(s.relay_limit)) : json(nullptr)},
              {"connections_established", s.connections_established},
              {"policy_signed", s.policy_signed ? json(*s.policy_signed) : json(nullptr)},
              {"members", json::array()},
              {"pairs_total", s.pairs.size()},
              {"pairs", pairs_json(s, busiest_pairs(s))}};
  for (const ServerMemberStatus& m : s.members) {
    json member = member_json(m.member);
    put_address6(s.network, m.member.mac, member);
    member["control_endpoint"] = or_null(m.control);
    member["data_endpoint"] = or_null(m.data);
    member["over_tcp"] = m.over_tcp;
    member["copy_at"] = m.copy_at ? json(to_string(*m.copy_at)) : json(nullptr);
    member["uptime_seconds"] = m.uptime ? json(seconds(*m.uptime)) : json(nullptr);
    member["last_seen"] = m.last_seen ? json(*m.last_seen) : json(nullptr);
    member["last_seen_seconds"] = m.last_seen ? json(std::max<std::int64_t>(s.unix_time - *m.last_seen, 0)) : json();
    member["relayed"] = traffic_json(m.relayed);
    member["endpoint_changes_held"] = m.endpoint_changes_held;
    member["floods"] = m.floods;
    member["relay_limit_drops"] = m.relay_limit_drops;
    member["relay_limited"] = m.relay_limited;
    member["ephemeral"] = m.ephemeral;
    member["expires_in_seconds"] = m.expires_in ? json(*m.expires_in) : json(nullptr);
    // Null where there is no lock.
    member["signed"] = s.locked ? json(m.not_signed != NotSigned::record) : json(nullptr);
    member["allowed_signed"] = s.locked ? json(m.not_signed == NotSigned::nothing) : json(nullptr);
    out["members"].push_back(std::move(member));
  }
  return out;
}

}  // namespace eps::report
