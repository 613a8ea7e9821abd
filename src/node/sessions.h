// SPDX-License-Identifier: MIT
#pragma once

// The sessions with the other members, and the handshakes that create them.
//
//   initiator                                    responder
//   initiate                          ------->   read_initiation, answer: session `unconfirmed`
//   finish, install: `current`        <-------   response, by the way the initiation came
//   waiting frames, probes            ------->   first one opens: confirm, install: `current`
//
// An initiation leaves by every path at once (relay and all candidates), and again after a while. Until the session is
// confirmed, every copy is answered with the same response, by the path it came: the reverse path may be blocked where
// the forward path is not, and a repetition must not invalidate what is still in transit.
//
// Datagrams to send are returned; the caller chooses their paths.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rate_limit.h"
#include "base/rng.h"
#include "base/time.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "model/counters.h"
#include "model/network.h"
#include "model/status.h"
#include "node/initiation_limit.h"
#include "node/peer_handshake.h"
#include "node/peers_params.h"
#include "noise/cookie.h"
#include "session/session.h"
#include "wire/datagram.h"

namespace eps::node {

// An initiation is repeated after these pauses, the last one repeated while frames wait.
inline constexpr std::array<Duration, 5> kHandshakeRetry = {std::chrono::milliseconds(300),
                                                            std::chrono::milliseconds(700), std::chrono::seconds(1),
                                                            std::chrono::seconds(2), std::chrono::seconds(5)};
inline constexpr int kFreshInitiation = 4;     // every so many attempts a new one is made, the others repeat it
inline constexpr int kHandshakeAttempts = 12;  // then the waiting frames are dropped

class Sessions {
 public:
  using Arrival = dataplane::Arrival;
  using SessionPtr = std::shared_ptr<session::Session>;

  // The part of one peer.
  class Record {
   public:
    explicit Record(const PublicKey& peer) : cookies_(peer) {}

    const SessionPtr& current() const { return current_; }  // used for sealing
    const SessionPtr& unconfirmed() const {
      return unconfirmed_;
    }                                         // we are its responder and the initiator has not
                                              // used it yet
    Instant began() const { return began_; }  // when `current` was installed
    bool may_send(Instant now) const { return current_ && current_->may_send(now); }
    // All that may open something.
    std::vector<SessionPtr> receiving() const;

    bool pending() const { return handshake_.has_value(); }  // a handshake of ours
    int attempt() const { return handshake_->attempt; }      // of that
    bool due(Instant now) const { return handshake_ && now >= handshake_->retry_at; }
    bool given_up() const { return given_up_; }  // the last one was never answered
    // `none`, as far as is known, again once there is a session.
    PskMismatch psk_mismatch() const { return psk_mismatch_; }
    // Neither side has ever begun anything.
    bool untried() const {
      return !current_ && !unconfirmed_ && retired_.empty() && !handshake_ && !given_up_ && least_number_ == 0 &&
             psk_mismatch_ == PskMismatch::none && answered_.ready_at({}) == Instant{};
    }
    // It is repeated at the next deadline.
    void hurry(Instant now) {
      if (handshake_) handshake_->retry_at = now;
    }
    Instant next_deadline() const;

   private:
    friend class Sessions;
    struct Handshake {
      PeerInitiator initiator;
      std::uint32_t local_index = 0;
      std::uint64_t number = 0;
      Bytes initiation;  // without MACs
      Bytes sent;        // with them, as last sent
      bool used_up = false;
      int attempt = 0;
      Instant retry_at{};
    };
    noise::CookieJar cookies_;
    SessionPtr current_, unconfirmed_;
    Bytes response_;                   // the answer that made `unconfirmed`, without MACs
    std::vector<SessionPtr> retired_;  // open what is in transit until their own end; both members may have
                                       // started at once and each seal in another session
    Instant began_{};
    std::optional<Handshake> handshake_;
    bool given_up_ = false;
    PskMismatch psk_mismatch_ = PskMismatch::none;
    std::uint64_t last_number_ = 0;          // of the peer's initiations
    RateLimit answered_;                     // its initiations
    std::uint64_t least_number_ = 0;         // ours to this peer must be greater
    std::optional<crypto::Key> number_key_;  // noise/number_reply.h
    Instant number_told_at_{};               // when a number reply last made us start over
  };

  // `notes` receives sentences for the log.
  Sessions(const PeersParams& params, Counters& counters, std::vector<std::string>& notes, Rng& rng);

  void set_self(const NetworkId& network, const Mac& mac) {
    network_ = network;
    mac_ = mac;
  }

  // Ours. REQUIRES of all but the first: set_self().
  // Whether this attempt repeats the initiation of the previous one.
  bool repeats(const Record& record, int attempt) const {
    return record.handshake_ && !record.handshake_->used_up && attempt % kFreshInitiation != 0;
  }
  // The datagram; nullopt, without a handshake, when the peer's key is unusable.
  std::optional<Bytes> initiate(Record& record, const Member& peer, int attempt, Instant now);
  void give_up(Record& record);
  // The member whose handshake or session has this local index.
  std::optional<MemberId> owner_of(std::uint32_t index) const;
  bool mac1_ok(ByteView datagram) const { return cookie_checker_.mac1_ok(datagram); }
  // The session that a response creates, to be installed; null, counted, when it creates none.
  SessionPtr finish(Record& record, const Member& peer, const wire::Response& response, Instant now);
  // True: repeat the same attempt at once, with the cookie.
  bool take_cookie_reply(Record& record, ByteView datagram, Instant now);
  // True: start the handshake over, with a greater number.
  bool take_number_reply(Record& record, const Member& peer, ByteView datagram, Instant now);

  // This computer's state was that of an earlier time, as a peer found.
  std::optional<LanFinding> set_back(Instant now) const;

  // The peers'.
  struct Initiation {
    PeerResponder responder;
    PeerResponder::Request request;
    std::uint32_t sender = 0;
  };
  struct Read {
    std::optional<Initiation> initiation;  // none: counted
    Bytes reply;                           // to return by the path it came; may be empty
  };
  Read read_initiation(const Arrival& arrival, ByteView datagram, Instant now);
  // See InitiationLimit.
  bool wants_addresses(Instant now) const { return initiation_limit_.wants_addresses(now); }
  void set_addresses(std::vector<IpAddress> of_peers, Instant now) {
    initiation_limit_.set_addresses(std::move(of_peers), now);
  }
  struct Answer {
    Bytes reply;        // as above
    bool made = false;  // a new `unconfirmed`
  };
  // REQUIRES: `initiation` was read from `datagram`, and `peer` has its key.
  Answer answer(Record& record, const Member& peer, Initiation& initiation, ByteView datagram, Instant now);
  // A new member may hear of us before we hear of it.
  struct Early {
    Arrival arrival;
    Bytes datagram;
    Instant since;
  };
  void keep_for_later(const Arrival& arrival, ByteView datagram, Instant now);
  // There are new members: datagrams to read again.
  std::vector<Early> take_early(Instant now);

  // The initiator has used the session that it got in the answer: install it. Null: another one, or known already.
  SessionPtr confirm(Record& record, std::uint32_t local_index);
  // Makes `session` the one used for sealing. The previous one still opens what is in transit. True: there was none.
  bool install(Record& record, SessionPtr session, Instant now);
  // Expired sessions go, and their keys with them. True: nothing can be sealed any more.
  bool expire(Record& record, Instant now);
  // All sessions, and the handshake.
  void end(Record& record);

 private:
  bool may_begin(const Arrival& arrival, ByteView datagram, std::uint32_t sender, Bytes& reply, Instant now);
  Bytes respond(Record& record, Instant now) const;
  void set_mismatch(Record& record, const Member& peer, PskMismatch mismatch);
  Bytes refuse_number(Record& record, const Member& peer, ByteView datagram, std::uint32_t sender);
  const crypto::Key* number_key_of(Record& record, const Member& peer) const;
  std::uint32_t new_index(MemberId peer);
  void erase(const SessionPtr& session);
  void end_handshake(Record& record);

  const PeersParams& params_;
  Counters& counters_;
  std::vector<std::string>& notes_;
  Rng& rng_;
  noise::CookieChecker cookie_checker_;
  InitiationLimit initiation_limit_;
  std::optional<NetworkId> network_;
  Mac mac_;
  std::uint64_t next_number_;
  std::unordered_map<std::uint32_t, MemberId> by_index_;  // every local session index in use
  std::vector<Early> early_;                              // from keys that belong to no member yet
  std::string set_back_by_;                               // the peer that found it; "": none
  Instant set_back_at_{};
};

}  // namespace eps::node
