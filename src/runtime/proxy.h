// SPDX-License-Identifier: MIT
#pragma once

// An HTTP proxy that leads to the server: where a network lets nothing out but by its proxy, the control connection
// goes through it (CONNECT, RFC 9110, section 9.3.6), and what is relayed goes inside the control connection.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::runtime {

struct Proxy {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  std::string credentials;  // "user:password", secret; "": none are sent
  std::string except;       // hosts that are reached without it, as in the variable no_proxy

  // "proxy.example.com:3128", without the credentials.
  std::string text() const;
  // Whether this server is reached through it.
  bool leads_to(std::string_view server) const;
};

// "[http://][USER:PASSWORD@]HOST[:PORT]", where HOST may be an IPv6 address in brackets, user and password have %XX for
// characters that mean something, and the port is 80 if there is none. The sentence of an error repeats nothing of it.
Result<Proxy> parse_proxy(std::string_view text);

// What is sent to the proxy to reach `host`, and the most that it may answer with.
std::string connect_request(const Proxy& proxy, const std::string& host, std::uint16_t port);
inline constexpr std::size_t kMaxProxyAnswer = 16 * 1024;
// What is wrong with its answer, "" for a connection that is made. `answer`: with the empty line at its end.
std::string connect_failure(const Proxy& proxy, const std::string& host, std::uint16_t port, std::string_view answer);

}  // namespace eps::runtime
