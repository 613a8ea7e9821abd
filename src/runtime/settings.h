// SPDX-License-Identifier: MIT
#pragma once

// The checked value of every option of the daemons: app/options.h makes it from command line and configuration file.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_network.h"
#include "base/limits.h"
#include "base/types.h"
#include "model/accepted_networks.h"
#include "model/offload.h"
#include "model/relay_limit.h"
#include "ops/log.h"
#include "report/scorecard.h"
#include "runtime/proxy.h"

namespace eps::runtime {

struct CommonSettings {
  std::string version;  // of this program, "0.1.0"
  std::string conf = "/etc/eps.conf";
  bool conf_copied = false;  // and read from a copy that the service manager has made for the program
  std::string log;
  ops::LogLevel log_level = ops::LogLevel::info;
  ops::LogFormat log_format = ops::LogFormat::text;
  bool stats = false;
  std::optional<std::string> scorecard;  // the file; nullopt: none is written
  report::ScorecardFormat scorecard_format = report::ScorecardFormat::keys;
  std::chrono::seconds interval{60};   // of statistics and scorecard
  std::string state = "/var/lib/eps";  // the daemon's own state is in client/ or server/ below it
  std::string socket;
  std::uint16_t port = kDefaultPort;
  std::uint16_t also_port = 0;                   // of TCP, besides `port`; 0: none
  std::optional<bool> tls;                       // on every TCP port or on none; nullopt: on that of HTTPS alone
  std::optional<Endpoint> http;                  // where /metrics and the like are served
  std::optional<OffloadSet> offload;             // nullopt: all that the kernel supports
  std::uint16_t workers = 0;                     // data-plane threads; 0: by the number of processors
  std::chrono::milliseconds upnp_timeout{1000};  // 0: no router is asked to forward ports
  RelayLimit relay_limit;                        // for each member that this program relays for
};

inline constexpr std::uint16_t kHttpsPort = 443;

// Whether the control connection uses TLS at this TCP port of the server.
inline bool tls_at(std::uint16_t port, const CommonSettings& settings) {
  return settings.tls.value_or(port == kHttpsPort);
}

struct ClientSettings : CommonSettings {
  std::vector<std::string> servers;  // names and addresses in the order given, at least one
  std::optional<Proxy> proxy;        // used to reach them
  std::string key;                   // the network key's text, blanks trimmed; secret
  std::uint16_t udp_port = 0;        // of this computer, for peers; 0: any, the last one if it is free
  std::string device = "eps0";
  std::string bridge;                                    // the bridge that the device should join; "": none
  std::string psk_file, psk_copy;                        // path, and the service manager's copy; "": none
  std::string up, down;                                  // commands for /bin/sh; "": none
  std::string name;                                      // valid_name()
  bool relay = false;                                    // for other members
  std::vector<IpNetwork> accepted = private_networks();  // acceptable networks for this computer
  bool copy_dscp = true;                                 // from inner packets to datagrams
  std::string aead = "auto";                             // or a name known to crypto::parse_aead_kind()
};

struct ServerSettings : CommonSettings {
  Ip4Network network{{0xc0a82b00}, 24};
  std::optional<IpNetwork> network6;  // a /64; nullopt: derived from the network's id
  bool sequential = false;
  std::uint16_t mtu = kDefaultMtu;
  std::string configured_key;      // the line for the clients, if there already is one; secret
  std::uint32_t expire_after = 0;  // days that a member may be away; 0: any number
  std::optional<std::string> graphviz;
  std::chrono::seconds graphviz_interval{300};
};

}  // namespace eps::runtime
