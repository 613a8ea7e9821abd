// SPDX-License-Identifier: MIT
#pragma once

// The client's end of one control connection, from the first handshake byte to the last delta. Sans I/O.
//
// Several may be in progress at once, as any of them may have reached a stranger. The server proves its key in the
// handshake, which costs it only the response; say_hello() then requests admission, in one connection at a time.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "control/channel.h"
#include "control/network_key.h"
#include "model/accepted_networks.h"
#include "model/network.h"
#include "registry/merkle_tree.h"
#include "wire/control_messages.h"

namespace eps::control {

inline constexpr Duration kPingAfter = std::chrono::seconds(15);    // without sending or receiving anything
inline constexpr Duration kSparsePings = std::chrono::seconds(25);  // see ClientConnection::set_ping_after()
inline constexpr Duration kDeadAfter = std::chrono::seconds(35);    // without receiving anything
inline constexpr Duration kAdmitWithin = std::chrono::seconds(10);  // from start() to Welcome
// The answer to a ping is due after three round trips, within these limits: the lower one is a little more than the
// pause before TCP repeats a lost segment, the upper one limits how long a dead connection goes unnoticed.
inline constexpr Duration kLeastAnswerTime = std::chrono::milliseconds(350);
inline constexpr Duration kMostAnswerTime = std::chrono::seconds(1);
// For a ping that only keeps the connection alive: a server that is busy for this long must not see all of its members
// reconnect.
inline constexpr Duration kIdleAnswerTime = std::chrono::seconds(5);
// Relayed data in the connection is answered sooner or later, unless the connection is dead.
inline constexpr Duration kRelayUnanswered = std::chrono::milliseconds(500);
// A list whose epoch is further ahead of this computer's clock is from the future: one that is not replaces it.
inline constexpr std::int64_t kMaxAhead = 24 * 3600;  // seconds

struct ClientParams {
  crypto::KeyPair self;
  NetworkKey key;
  std::string name;
  std::string version;
  bool enrolled = false;                                // the server has admitted this key before
  bool relays = false;                                  // for other members
  std::optional<PublicKey> signing_key = std::nullopt;  // as shown at the first join
  Features features = kOwnFeatures;
  std::uint64_t run = 0;                                                     // random, of this run of the program
  std::vector<IpNetwork> accepted = private_networks();                      // acceptable networks for this computer
  std::function<std::int64_t()> unix_time = [] { return std::int64_t{0}; };  // seconds since 1970; 0: unknown
  Duration rekey_after = kRekeyAfter;
  std::uint64_t rekey_after_bytes = kRekeyAfterBytes;
};

struct Welcomed {
  NetworkInfo network;
  Member self;
  std::uint16_t data_port = 0;
  crypto::Key bind_key;
  std::uint32_t relay_tag = 0;
  std::string server_version;
  PublicKey signing_key;
  std::uint16_t also_port = 0;
  Features features{};  // of the server's program
};
struct Proved {};  // the other end is the server: say_hello() may follow
struct Silent {};  // the server has not answered a ping in time; the connection continues
struct Heard {};   // the server answered after all
// See ClientConnection::members(). `delta` leads there from the previous state, unless it is full.
struct ListChanged {
  Delta delta;
  bool records = true;  // a stable field changed, or the signed version did
  // The chain of the network lock, as the server has it; not verified. It belongs to this change of the list.
  std::optional<std::vector<Bytes>> lock = std::nullopt;
};
// The server drops what this computer sends through its relay beyond this.
struct RelayLimited {
  std::string limit;
};
// Of the server, to propose_lock().
struct LockAnswered {
  std::uint32_t ticket = 0;
  bool done = false;
  std::string sentence;
};
// The server's list replaced the one held although its version is not greater.
struct ListReplaced {
  std::string sentence;
};
struct ReportRequested {};  // answer with report()
// The server's list is older than the one held, which stays in use; the connection continues.
struct ListRefused {
  std::string sentence;
};
// The connection ends; says why.
struct Refused {
  std::string sentence;
  bool retry = true;              // false: retrying cannot help
  bool by_server = false;         // the server itself says so; otherwise the connection failed, here or on its way
  bool wrong_answer = false;      // in the handshake: it is not the server, or has another enrolment secret
  bool removed = false;           // from the network, by its administrator
  bool forget_enrolment = false;  // it does not know this key (any more): join as a new member
  std::optional<Duration> come_back = std::nullopt;  // when to retry; nullopt: later each time
};
// Datagrams that the server relayed in this connection.
struct Relayed {
  std::vector<Bytes> datagrams;
};
using ClientEvent = std::variant<Proved, Welcomed, Silent, Heard, ListChanged, ListRefused, ListReplaced,
                                 ReportRequested, Relayed, LockAnswered, RelayLimited, Refused>;

// A sentence without its end; `why` may be "".
std::string closed_because(const std::string& why);

class ClientConnection {
 public:
  // `held`: the list of an earlier connection, from which the server continues.
  ClientConnection(ClientParams params, const MemberList& held, Rng& rng);

  struct Outputs {
    Bytes to_send;
    std::vector<ClientEvent> events;
    bool close = false;
  };
  Outputs start(Instant now);
  // How long nothing is sent or received before a ping, kPingAfter at first. The pings of a large network are much of
  // what an idle server does, so a client whose bind requests show as well that the server lives takes kSparsePings.
  void set_ping_after(Duration pause) { ping_after_ = pause; }
  // Requests admission, continuing from the list that is held by now. REQUIRES: Proved was emitted, nothing said yet.
  Outputs say_hello(const MemberList& held, Instant now);
  // Something may have cut the connection: demands a sign of life at once. Silent or nothing follows.
  Outputs probe(Instant now);
  Outputs on_bytes(ByteView bytes, Instant now);
  // The other end closed the connection; `why`: what is known besides, or "".
  Outputs on_closed(const std::string& why);
  Outputs on_deadline(Instant now);
  Instant next_deadline() const;
  // Announces where this node may be reached; nothing before Welcomed. At most kMaxCandidates, the rest is cut.
  Outputs announce(std::vector<Candidate> candidates, Instant now);

  // Whether to relay to us over this connection, and accept what we want relayed here. Nothing before Welcomed.
  Outputs relay_here(bool here, Instant now);
  Outputs relay(std::vector<Bytes> datagrams, Instant now);
  // This node communicates with these members: the server of a large network reports the states of those alone. Call it
  // before sending anything to one; requests made earlier in this connection stay valid.
  Outputs want(std::span<const MemberId> members);
  // What a signer of the network lock signed: LockAnswered follows. Nothing before Welcomed.
  Outputs propose_lock(std::uint32_t ticket, LockChange change, Instant now);
  // Answers ReportRequested. Does nothing without a connection.
  Outputs report(TrafficReport report, Instant now);

  // How often this connection got new keys.
  std::uint64_t rekeys() const { return rekeys_; }
  const MemberList& members() const { return members_; }
  // By the server, over members(); none as long as the list that was held is still the server's.
  const std::optional<crypto::Signature>& list_signature() const { return list_signature_; }

 private:
  void on_response(const Bytes& frame, Outputs& out, Instant now);
  void on_message(wire::ControlMessage message, Outputs& out, Instant now);
  void on_delta(const wire::MemberDelta& part, Outputs& out, Instant now);
  void on_whole_delta(const Delta& delta, const wire::MemberDelta& last, Outputs& out, Instant now);
  void on_records(wire::Records& part, Outputs& out, Instant now);
  void on_whole_records(Delta delta, const wire::Records& last, Outputs& out, Instant now);
  void on_states(const wire::States& states, Outputs& out, Instant now);
  void on_rekey(const wire::Rekey& rekey, Outputs& out, Instant now);
  void keys_changed(Instant now);
  Instant rekey_at() const;
  bool is_behind(std::uint64_t version, Outputs& out);
  bool from_the_future(std::uint64_t version) const;
  bool starts_anew(std::uint64_t version) const;
  void tell_replaced(std::uint64_t version, Outputs& out) const;
  void changed(Delta delta, bool records, bool more, Outputs& out);
  void send(const wire::ControlMessage& message, Outputs& out, Instant now);
  void refuse(Refused why, Outputs& out);
  void refuse_stranger(const std::string& what, bool answered, Outputs& out);
  void ping(Duration answer_within, Outputs& out, Instant now);
  Instant ping_at() const;
  Duration answer_time() const;

  ClientParams params_;
  MemberList members_;
  Rng& rng_;
  Channel channel_;
  std::optional<noise::Initiator> handshake_;
  std::optional<Delta> partial_;              // parts of a delta so far
  std::optional<registry::MerkleTree> tree_;  // over members_
  std::optional<ListChanged> unseen_;         // parts of a change so far
  std::optional<std::vector<Bytes>> lock_;    // waits for the records that belong to it
  std::vector<MemberId> wanted_;
  bool on_demand_ = false;  // the server reports the states of wanted_ only
  bool resync_ = false;     // the whole list was requested and is on its way
  bool behind_ = false;     // the server's list is older than ours
  RecoveryId recovery_{};   // from which the server's versions count
  bool recovery_proved_ = false;
  PublicKey signing_key_;
  std::optional<crypto::Signature> list_signature_;
  NetworkId network_;
  bool welcomed_ = false;
  Features features_;           // of both ends
  Instant rekey_due_ = kNever;  // by time
  Instant rekeyed_{};
  std::uint64_t rekeys_ = 0;
  bool ended_ = false;
  bool silent_ = false;    // reported, and nothing received since
  Duration round_trip_{};  // of the handshake
  Instant silent_at_ = kNever;
  Duration ping_after_ = kPingAfter;
  Instant relayed_since_ = kNever;  // without having received anything
  Instant started_{};
  Instant last_sent_{};
  Instant last_ping_{};
  Instant last_received_{};  // a complete message that opened, not just any bytes
};

}  // namespace eps::control
