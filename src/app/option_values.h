// SPDX-License-Identifier: MIT
#pragma once

// The valid values of each option. An Error's sentence continues after the option and its value: "must be ...".

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "model/offload.h"
#include "ops/log.h"
#include "report/scorecard.h"
#include "runtime/proxy.h"

namespace eps::app {

inline constexpr std::size_t kMaxServers = 16;  // names and addresses of one server

Result<std::uint64_t> number_value(std::string_view text, std::uint64_t min, std::uint64_t max);
// "9100", which is 127.0.0.1:9100, or "192.168.1.5:9100", "[::1]:9100".
Result<Endpoint> http_value(std::string_view text);
// true, yes, on, 1; false, no, off, 0.
Result<bool> switch_value(std::string_view text);
// A canonical network of /8 to /30 whose addresses hosts may have.
Result<Ip4Network> network_value(std::string_view text);
// "192.168.43.0/24", "fd43::/64", or both with a comma between.
struct Networks {
  std::optional<Ip4Network> v4;
  std::optional<IpNetwork> v6;
};
Result<Networks> networks_value(std::string_view text);
// Names and addresses, separated by blanks.
Result<std::vector<std::string>> servers_value(std::string_view text);
Result<std::string> path_value(std::string_view text);
Result<std::string> socket_value(std::string_view text);
Result<std::string> device_value(std::string_view text);
Result<std::string> name_value(std::string_view text);
// For /bin/sh.
Result<std::string> command_value(std::string_view text);
// nullopt: none.
Result<std::optional<bool>> tls_value(std::string_view text);  // "auto": nullopt
Result<std::optional<runtime::Proxy>> proxy_value(std::string_view text);
// "private", "any", networks of either family, separated by blanks.
Result<std::vector<IpNetwork>> accepted_value(std::string_view text);
Result<std::string> aead_value(std::string_view text);
Result<bool> dscp_value(std::string_view text);  // whether it is copied
// nullopt: auto.
Result<std::optional<OffloadSet>> offload_value(std::string_view text);
Result<RelayLimit> relay_limit_value(std::string_view text);
Result<report::ScorecardFormat> scorecard_format_value(std::string_view text);
Result<ops::LogLevel> log_level_value(std::string_view text);
Result<ops::LogFormat> log_format_value(std::string_view text);
// Checks the checksum and form of the key; the sentence never repeats it.
Result<std::string> key_value(std::string_view text);

}  // namespace eps::app
