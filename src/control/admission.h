// SPDX-License-Identifier: MIT
#pragma once

// How a client gets in: several connections may be made at once, to all addresses and ports that the server may have,
// and only admission counts. Who merely takes a connection, stays silent, hangs up or answers something else has won
// nothing, and nothing follows from it: the next one is tried. Sans I/O.
//
// In each connection the other end proves the server's key first. Then one at a time is asked for admission, as the
// server ends a member's older connection for a newer one.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/client_connection.h"

namespace eps::control {

using LinkId = std::uint64_t;  // of a TCP connection; given by the caller, never used twice, not 0

// An admission that is not answered for so long is asked for in another connection, if there is one.
inline constexpr Duration kHelloPatience = std::chrono::seconds(1);

class Admission {
 public:
  explicit Admission(Rng& rng) : rng_(rng) {}

  struct Won {
    LinkId link;
    Endpoint server;
    std::vector<IpAddress> addresses;  // that the server is known by
    ClientConnection connection;
    std::vector<ClientEvent> events;  // Welcomed, and what came with it
  };
  struct Outputs {
    std::vector<std::pair<LinkId, Bytes>> to_send;
    std::vector<LinkId> to_close;
    std::optional<Won> won;       // the search is over
    std::optional<Refused> lost;  // the search is over, in vain: the server refused, or nobody could be reached
  };

  // Begins to search; the caller dials. REQUIRES: !running().
  void begin();
  // Somebody took a connection. `params`: of this computer.
  Outputs on_connected(LinkId link, const Endpoint& server, std::vector<IpAddress> addresses, ClientParams params,
                       const MemberList& held, Instant now);
  Outputs on_bytes(LinkId link, ByteView bytes, const MemberList& held, Instant now);
  Outputs on_closed(LinkId link, const std::string& why, const MemberList& held, Instant now);
  // All addresses were tried, or nothing is to be tried any more; `why` says what failed before a connection was made.
  Outputs on_dialed_all(const std::string& why);
  Outputs on_deadline(const MemberList& held, Instant now);
  Instant next_deadline() const;
  // Gives up: the connections to close.
  std::vector<LinkId> stop();

  bool running() const { return dialing_ || !attempts_.empty(); }
  bool knows(LinkId link) const { return attempts_.contains(link); }
  // A server that proved itself has been asked for admission.
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
  // Who answered a first join with what is not the server's answer: a stranger, or a server that has another enrolment
  // secret. Asked as by a member, the server proves itself, and the key is known to be wrong.
  std::vector<Endpoint> unclear_;
};

}  // namespace eps::control
