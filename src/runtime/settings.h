// SPDX-License-Identifier: MIT
#pragma once

// The value of every option of the daemons, checked: what app/options.h makes of command line and configuration file.

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
#include "ops/log.h"
#include "report/scorecard.h"
#include "runtime/proxy.h"

namespace eps::runtime {

struct CommonSettings {
  std::string version;  // of this program, "0.1.0"
  std::string conf = "/etc/eps.conf";
  std::string log;
  ops::LogLevel log_level = ops::LogLevel::info;
  ops::LogFormat log_format = ops::LogFormat::text;
  bool stats = false;
  std::optional<std::string> scorecard;  // the file; nullopt: none is written
  report::ScorecardFormat scorecard_format = report::ScorecardFormat::keys;
  std::chrono::seconds interval{60};   // of statistics and scorecard
  std::string state = "/var/lib/eps";  // the daemon's own lies in client/ or server/ under it
  std::string socket;
  std::uint16_t port = kDefaultPort;
  std::uint16_t also_port = 0;                   // of TCP, besides `port`; 0: none
  std::optional<bool> tls;                       // on every TCP port or on none; nullopt: on that of HTTPS alone
  std::optional<Endpoint> http;                  // where /metrics and the like are served
  std::optional<OffloadSet> offload;             // nullopt: all that the kernel has
  std::uint16_t workers = 0;                     // data-plane threads; 0: by the number of processors
  std::chrono::milliseconds upnp_timeout{1000};  // 0: no router is asked to forward ports
};

inline constexpr std::uint16_t kHttpsPort = 443;

// Whether the control connection is inside TLS at this TCP port of the server.
inline bool tls_at(std::uint16_t port, const CommonSettings& settings) {
  return settings.tls.value_or(port == kHttpsPort);
}

struct ClientSettings : CommonSettings {
  std::vector<std::string> servers;  // names and addresses in the order given, at least one
  std::optional<Proxy> proxy;        // by which they are reached
  std::string key;                   // the network key's text, blanks trimmed; secret
  std::string device = "eps0";
  std::string bridge;                                    // that the device is to be a port of; "": none
  std::string psk_file, psk_copy;                        // path, and the service manager's copy; "": none
  std::string up, down;                                  // commands for /bin/sh; "": none
  std::string name;                                      // valid_name()
  bool relay = false;                                    // for other members
  std::vector<IpNetwork> accepted = private_networks();  // where the server may put this computer
  bool copy_dscp = true;                                 // from packets inside to datagrams
  std::string aead = "auto";                             // or a name that crypto::parse_aead_kind() knows
};

struct ServerSettings : CommonSettings {
  Ip4Network network{{0xc0a82b00}, 24};
  std::optional<IpNetwork> network6;  // a /64; nullopt: one that follows from the network's id
  bool sequential = false;
  std::uint16_t mtu = kDefaultMtu;
  std::string configured_key;      // the line that is there for the clients, if there is one; secret
  std::uint32_t expire_after = 0;  // days that a member may be away; 0: any number
  std::optional<std::string> graphviz;
  std::chrono::seconds graphviz_interval{300};
};

}  // namespace eps::runtime
