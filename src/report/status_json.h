// SPDX-License-Identifier: MIT
#pragma once

// A daemon's status as JSON: what its socket answers and `eps --json` prints. Field names are stable: new ones may
// come, none changes its meaning. There is no secret in it. Fields marked ? are null while unknown.
//
// Both:    program ("eps-client" | "eps-server"), version, uptime_seconds, list_version, connections_established,
//          port_mappings [{transport ("UDP" | "TCP"), port, external_endpoint,
//              method ("NAT-PMP" | "UPnP" | "a rule of its own")}],
//          traffic {packets_sent, bytes_sent, packets_received, bytes_received, packets_forwarded, bytes_forwarded},
//          drops {REASON: packets}, network? {address "10.0.8.0/24", mtu}
// Client:  name, nat {mapping, filtering} (model/nat.h), public_key, device, address? (with prefix: "10.0.8.3/24"),
// mac?, data_port, observed_endpoint?,
//          server {connected, endpoint?, note, version?}, peers [...]
//   peer:  name, address, mac, id, public_key, version, online, path ("direct" | "relayed" | "none"), endpoint?,
//          last_handshake_seconds?, last_heard_seconds? (anything that authenticated), round_trip_ms?, path_mtu?,
//          aead?, aead_library?, traffic {...}, nat (its mapping), unreachable (something was to be sent to it, and
//          nothing comes back), why_relayed? and how_to_mend? (sentences)
// Server:  port, members [...], pairs [...] (of many the busiest, report/pairs.h), pairs_total (how many there are)
//   member: name, address, mac, id, public_key, version, online, control_endpoint?, data_endpoint?, relayed {...},
//          uptime_seconds? (of its program, as it told last), last_seen? (Unix time at which it was last connected),
//          last_seen_seconds? (how long ago that was), copy_at? (where another computer with its key is)
//   pair:  from, to, path, reason? (why not direct), round_trip_ms?, packets_sent, bytes_sent (as `from` counted),
//          packets_received, bytes_received (as `to` counted), packets_lost (as far as both have told), all since the
//          server started; recent_packets_sent, recent_packets_received (between their last two reports)

#include <nlohmann/json_fwd.hpp>

#include "model/status.h"

namespace eps::report {

nlohmann::json to_json(const ClientStatus& status);
nlohmann::json to_json(const ServerStatus& status);

// What `eps why` asks for: peer (as above), nat {mapping, filtering} (our own),
//   ways [{way (endpoint, or "relay: server", "relay: member ID"), origin, in_use, answers, round_trip_ms?, pings,
//   pongs,
//          heard, since_ping_seconds?, since_answer_seconds?}], best way first, and events [{seconds_ago, what}],
//          oldest first.
nlohmann::json to_json(const PeerWhy& why);

}  // namespace eps::report
