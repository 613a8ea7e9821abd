// SPDX-License-Identifier: MIT
#pragma once

// An HTTP proxy to the server: in a network that allows outgoing connections only through its proxy, the control
// connection uses it (CONNECT, RFC 9110, section 9.3.6), and relayed traffic goes inside the control connection.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::runtime {

struct Proxy {
  std::string host;  // a name or an address
  std::uint16_t port = 0;
  std::string credentials;  // "user:password", secret; "": not sent
  std::string except;       // hosts reached without it, as in the variable no_proxy

  // "proxy.example.com:3128", without the credentials.
  std::string text() const;
  // Whether to use it for this server.
  bool leads_to(std::string_view server) const;
  friend bool operator==(const Proxy&, const Proxy&) = default;
};

// "[http://][USER:PASSWORD@]HOST[:PORT]", where HOST may be an IPv6 address in brackets, user and password use %XX for
// special characters, and the port defaults to 80. The sentence of an error repeats nothing of it.
Result<Proxy> parse_proxy(std::string_view text);

// The request to the proxy to reach `host`, and the maximum size of its answer.
std::string connect_request(const Proxy& proxy, const std::string& host, std::uint16_t port);
inline constexpr std::size_t kMaxProxyAnswer = 16 * 1024;
// What is wrong with its answer, "" for an established connection. `answer`: including the empty line at its end.
std::string connect_failure(const Proxy& proxy, const std::string& host, std::uint16_t port, std::string_view answer);

}  // namespace eps::runtime
