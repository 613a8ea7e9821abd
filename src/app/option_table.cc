// SPDX-License-Identifier: MIT
#include "app/option_table.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace eps::app {
namespace {

using Group = OptionSpec::Group;
using Kind = OptionSpec::Kind;

constexpr OptionSpec::In kNone = {};

constexpr OptionSpec in_both(std::string_view name, Group group, Kind kind, std::string_view help,
                             std::string_view client_value = {}, std::string_view server_value = {}) {
  return {name, group, kind, {help, client_value}, {help, server_value}, false};
}

constexpr OptionSpec command_line(OptionSpec spec) {
  spec.command_line_only = true;
  return spec;
}

// Within a group the options of the manual come first, in its order and with its words.
constexpr std::array kTable = {
    command_line(in_both("conf", Group::common, Kind::value,
                         "filename from which additional EPS configuration will be read", "/etc/eps.conf",
                         "/etc/eps.conf")),
    command_line(in_both("help", Group::common, Kind::flag, "show this help message")),
    command_line(in_both("version", Group::common, Kind::flag, "show version information")),
    in_both("state", Group::common, Kind::value, "directory for persistent state, in client/ and server/ below it",
            "/var/lib/eps", "/var/lib/eps"),
    in_both("socket", Group::common, Kind::value, "Unix socket at which \"eps\" queries this program",
            "/run/eps/client.sock", "/run/eps/server.sock"),

    in_both("log", Group::logging, Kind::value, "file to which logging messages will be written (file is auto-rotated)",
            "/var/log/eps_client.log", "/var/log/eps_server.log"),
    in_both("stats", Group::logging, Kind::flag, "log statistics every 60 seconds"),
    in_both("scorecard", Group::logging, Kind::optional_value,
            "file where statistics scorecard is written every 60 seconds", "/var/log/eps_client.stats",
            "/var/log/eps_server.stats"),
    in_both("scorecard-format", Group::logging, Kind::value, "format of the scorecard: keys, prometheus or json",
            "keys", "keys"),
    in_both("interval", Group::logging, Kind::value, "seconds between statistics and between scorecards", "60", "60"),
    in_both("http", Group::logging, Kind::value,
            "[address:]port at which /metrics, /healthz and /api/v1/network are served; without an address, for "
            "this computer only"),
    in_both("log-level", Group::logging, Kind::value, "lowest level to log: trace, debug, info, warn, error", "info",
            "info"),
    in_both("log-format", Group::logging, Kind::value, "format of the log: text or json", "text", "text"),

    OptionSpec{"graphviz",
               Group::program,
               Kind::optional_value,
               kNone,
               {"file to which a Graphviz-format network diagram is written every 5 minutes", "/var/log/eps.gv"}},
    OptionSpec{"network", Group::program, Kind::value, kNone, {"network (with mask) to create", "192.168.43.0/24"}},
    OptionSpec{"port",
               Group::program,
               Kind::value,
               {"TCP/UDP port of the server", "43439"},
               {"TCP/UDP listening port to bind", "43439"}},
    OptionSpec{"server", Group::program, Kind::value, {"IP address (or hostname) of the server"}, kNone},
    OptionSpec{"udp-port",
               Group::program,
               Kind::value,
               {"UDP port of this computer for traffic with peers (zero: any, kept from one start to the next)", "0"},
               kNone},
    OptionSpec{
        "sequential",
        Group::program,
        Kind::flag,
        kNone,
        {"new clients will be assign IP addresses sequentially (.1, .2, .3, etc) instead of from within the pool"}},
    in_both("upnptimeout", Group::program, Kind::value,
            "UPnP timeout in milliseconds (set to zero to disable UPnP support)", "1000", "1000"),

    OptionSpec{"key",
               Group::program,
               Kind::value,
               {"network key; other users can briefly see it on the command line, so put it into the file"},
               kNone},
    OptionSpec{"psk-file",
               Group::program,
               Kind::value,
               {"file with pre-shared keys (32 bytes in base64) for all or single peers, against quantum computers"},
               kNone},
    OptionSpec{"name", Group::program, Kind::value, {"name of this member", "hostname"}, kNone},
    OptionSpec{"device", Group::program, Kind::value, {"name of the network interface to create", "eps0"}, kNone},
    OptionSpec{
        "bridge",
        Group::program,
        Kind::value,
        {"Linux bridge to make the interface a port of; the server must allow it: eps members allow NAME bridge"},
        kNone},
    OptionSpec{"up",
               Group::program,
               Kind::value,
               {"command for /bin/sh once the interface has its address, with EPS_INTERFACE, EPS_ADDRESS and more"},
               kNone},
    OptionSpec{"down",
               Group::program,
               Kind::value,
               {"command for /bin/sh before the interface loses its address or eps-client ends"},
               kNone},
    OptionSpec{
        "accept-network",
        Group::program,
        Kind::value,
        {"networks that the server may put this computer into, separated by blanks: private, any, or for example "
         "203.0.113.0/24",
         "private"},
        kNone},
    OptionSpec{"aead",
               Group::program,
               Kind::value,
               {"cipher to offer to peers: auto, aes-256-gcm, aes-128-gcm or chacha20-poly1305", "auto"},
               kNone},
    OptionSpec{"dscp",
               Group::program,
               Kind::value,
               {"copy the DSCP of inner packets to the datagrams outside: copy or off", "copy"},
               kNone},
    in_both("also-port", Group::program, Kind::value,
            "additional TCP port of the server, such as 443, for networks that allow only that one (zero: none)", "0",
            "0"),
    OptionSpec{
        "proxy",
        Group::program,
        Kind::value,
        {"HTTP proxy through which to reach the server, as http://USER:PASSWORD@HOST:PORT, or none; without it, the "
         "variable https_proxy applies"},
        kNone},
    OptionSpec{"tls",
               Group::program,
               Kind::flag,
               {"put the connection to the server inside TLS (without this option: on port 443 only)"},
               {"accept connections inside TLS on every port (without this option: on port 443 only)"}},
    OptionSpec{"relay", Group::program, Kind::flag, {"relay for members that cannot reach each other directly"}, kNone},
    in_both(
        "relay-limit", Group::program, Kind::value,
        "limit of what is relayed for each member as the sender: 50mbit, 20000pps, 100GB/day, or several separated by "
        "commas (zero: no limit)",
        "0", "0"),
    OptionSpec{
        "offload",
        Group::program,
        Kind::value,
        {"offloads to use, for tests and diagnosis, several separated by commas: auto, none, csum, tso, uso, gso or "
         "gro",
         "auto"},
        {"offloads to use, for tests and diagnosis, several separated by commas: auto, none, gso or gro", "auto"}},
    in_both("workers", Group::program, Kind::value,
            "threads that move frames (zero: one on one or two processors, otherwise one for every two, at most 8)",
            "0", "0"),
    OptionSpec{"mtu", Group::program, Kind::value, kNone, {"MTU of the network's interfaces", "1500"}},
    OptionSpec{"expire-after",
               Group::program,
               Kind::value,
               kNone,
               {"days after which a member that was not seen is removed, which frees its address (zero: never)", "0"}},
    OptionSpec{
        "graphviz-interval", Group::program, Kind::value, kNone, {"seconds between two network diagrams", "300"}},
};

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::span<const OptionSpec> option_table() {
  return kTable;
}

const OptionSpec* find_option(std::string_view name) {
  const auto it = std::ranges::find(kTable, name, &OptionSpec::name);
  return it == kTable.end() ? nullptr : &*it;
}

std::string_view nearest_option(std::string_view mistyped, Program program) {
  std::string_view nearest;
  std::size_t least = std::min<std::size_t>(2, mistyped.size() / 2) + 1;  // more changes than that is another word
  for (const OptionSpec& spec : kTable) {
    // A long name is not measured: its excess alone makes it too different.
    if (!spec.is_of(program) || mistyped.size() > spec.name.size() + 2) continue;
    if (const std::size_t distance = edit_distance(mistyped, spec.name); distance < least) {
      least = distance;
      nearest = spec.name;
    }
  }
  return nearest;
}

}  // namespace eps::app
