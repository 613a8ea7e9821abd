#pragma once

// Proves this node's data socket to the server and learns how the server sees it (wire/datagram.h, bind request). Asked
// again often enough to keep a NAT's mapping to the server open: it is the way of everything that is relayed.

#include <optional>

#include "base/time.h"
#include "base/types.h"
#include "crypto/secret.h"
#include "ports/udp.h"

namespace eps::node {

inline constexpr Duration kBindKeepalive = std::chrono::seconds(20);
// Without an answer: after these pauses, the last one again and again.
inline constexpr std::array<Duration, 5> kBindRetry = {std::chrono::milliseconds(150), std::chrono::milliseconds(300),
                                                       std::chrono::milliseconds(600), std::chrono::milliseconds(1200),
                                                       std::chrono::seconds(3)};
// This many requests without an answer: the relay is held to be unreachable.
inline constexpr int kBindLost = 4;
inline constexpr Duration kBindVerifyPause = std::chrono::seconds(3);

class Bind {
 public:
  explicit Bind(ports::UdpPort& udp) : udp_(udp) {}
  // A new control connection gave new credentials.
  void begin(MemberId self, crypto::Key key, const Endpoint& server, Instant now);
  // Ask at once: this machine's network changed, so what was known is no longer so.
  void refresh(Instant now);
  // Ask at once, unless an answer is awaited or has just come: nothing seems to pass.
  void verify(Instant now);
  // Takes a bind reply; false if it does not authenticate.
  bool on_reply(ByteView datagram, Instant now);
  void on_deadline(Instant now);
  Instant next_deadline() const { return next_; }
  bool bound() const { return bound_ && !lost(); }
  bool lost() const { return unanswered_ >= kBindLost; }
  const std::optional<Endpoint>& observed() const { return observed_; }
  const Endpoint& server() const { return server_; }

 private:
  void ask(Instant now);
  ports::UdpPort& udp_;
  MemberId self_;
  crypto::Key key_;
  Endpoint server_;
  std::optional<Endpoint> observed_;
  bool bound_ = false;
  Instant answered_at_{};
  std::uint64_t number_ = 0;    // of the last request
  std::uint64_t answered_ = 0;  // of the last reply taken
  int unanswered_ = 0;
  Instant next_ = kNever;
};

}  // namespace eps::node
