// SPDX-License-Identifier: MIT
#pragma once

// How a client is admitted: it may make several connections at once, to all addresses and ports that the server may
// have, and only admission counts. A peer that merely accepts a connection, stays silent, hangs up or answers something
// else has won nothing, and nothing follows from it: the next one is tried. Sans I/O.
//
// In each connection the other end first proves the server's key. Then one connection at a time requests admission,
// because the server ends a member's older connection for a newer one.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/client_connection.h"

namespace eps::control {

using LinkId = std::uint64_t;  // of a TCP connection; assigned by the caller, never reused, not 0

// If a request for admission is unanswered for this long, another connection requests it, if there is one.
inline constexpr Duration kHelloPatience = std::chrono::seconds(1);

class Admission {
 public:
  explicit Admission(Rng& rng) : rng_(rng) {}

  struct Won {
    LinkId link;
    Endpoint server;
    std::vector<IpAddress> addresses;  // known addresses of the server
    ClientConnection connection;
    std::vector<ClientEvent> events;  // Welcomed, and what came with it
  };
  struct Outputs {
    std::vector<std::pair<LinkId, Bytes>> to_send;
    std::vector<LinkId> to_close;
    std::optional<Won> won;       // the search has ended
    std::optional<Refused> lost;  // the search has failed: the server refused, or nobody could be reached
  };

  // Starts a search; the caller dials. REQUIRES: !running().
  void begin();
  // A connection was established. `params`: of this computer.
  Outputs on_connected(LinkId link, const Endpoint& server, std::vector<IpAddress> addresses, ClientParams params,
                       const MemberList& held, Instant now);
  Outputs on_bytes(LinkId link, ByteView bytes, const MemberList& held, Instant now);
  Outputs on_closed(LinkId link, const std::string& why, const MemberList& held, Instant now);
  // All addresses were tried, or no more are to be tried; `why` says what failed before a connection was established.
  Outputs on_dialed_all(const std::string& why);
  Outputs on_deadline(const MemberList& held, Instant now);
  Instant next_deadline() const;
  // Gives up. Returns the connections to close.
  std::vector<LinkId> stop();

  bool running() const { return dialing_ || !attempts_.empty(); }
  bool knows(LinkId link) const { return attempts_.contains(link); }
  // A server that proved its key has been asked for admission.
  bool asking() const { return asking_ != 0; }

 private:
  struct Attempt {
    Endpoint server;
    std::vector<IpAddress> addresses;
    ClientConnection connection;
    bool first_join = false;
    bool proved = false;
  };
  void take(LinkId link, ClientConnection::Outputs from, const MemberList& held, Outputs& out, Instant now);
  void fail(LinkId link, const std::string& why, const MemberList& held, Outputs& out, Instant now);
  void ask_next(const MemberList& held, Outputs& out, Instant now);
  void end(Refused why, Outputs& out);
  void end_if_in_vain(Outputs& out);

  Rng& rng_;
  bool dialing_ = false;
  std::map<LinkId, Attempt> attempts_;
  LinkId asking_ = 0;
  Instant asked_at_{};
  std::string failures_;
  // Whoever answered a first join with something else than the server's answer is a stranger, such as a captive portal,
  // or a server with another enrolment secret. It is asked as by a member next: then a server proves itself. Only if it
  // gives another answer to a first join after that is the key known to be wrong, because the stranger may be gone.
  enum class Doubt { stranger, proved_since };
  std::map<Endpoint, Doubt> unclear_;
};

}  // namespace eps::control
