#pragma once

// All other members as this node talks to them: handshakes, session lifetimes, paths, and the snapshot that the data
// plane works from. Sans I/O: datagrams leave through a UdpPort, time and randomness are arguments.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "dataplane/frame_sender.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "model/status.h"
#include "node/peer.h"
#include "noise/cookie.h"
#include "ports/udp.h"

namespace eps::node {

struct PeersParams {
  crypto::KeyPair self;
  std::vector<crypto::AeadKind> aeads;       // in order of preference
  std::uint64_t first_handshake_number = 1;  // greater than any that this key has used before
  std::uint32_t rekey_after_packets = session::kRekeyAfterPackets;
};

class Peers {
 public:
  Peers(PeersParams params, ports::UdpPort& udp, Rng& rng, dataplane::Published<dataplane::PeerTable>& published);

  // This node's own place in the network. A change of it ends every session.
  void set_self(const NetworkInfo& network, const Member& self, Instant now);
  // The server's data endpoint, and the tag that it knows us by. `usable` once it has answered a bind request.
  void set_relay(const Endpoint& relay, std::uint32_t tag, bool usable, Instant now);
  void update_members(const MemberList& list, Instant now);
  // This machine's addresses changed: every path is in doubt.
  void on_network_change(Instant now);

  void on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now);
  void on_deadline(Instant now);
  Instant next_deadline() const;

  std::vector<PeerStatus> status(Instant now) const;
  Counters& counters() { return counters_; }
  const Counters& counters() const { return counters_; }
  // One sentence each, for the log; emptied by the call.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 private:
  using Arrival = dataplane::Arrival;
  // Upcalls.
  void on(dataplane::HandshakeDatagram& datagram, Instant now);
  void on(dataplane::PathControl& control, Instant now);
  void on(dataplane::NeedSession& need, Instant now);
  void on(dataplane::SessionConfirmed& confirmed, Instant now);
  void on(dataplane::UnknownSession& unknown, Instant now);
  void on(dataplane::PeerWoke& woke, Instant now);
  // Handshakes.
  void on_initiation(const Arrival& arrival, ByteView datagram, Instant now);
  void on_response(const Arrival& arrival, ByteView datagram, Instant now);
  void on_cookie_reply(ByteView datagram, Instant now);
  bool under_load(Instant now);
  void start_handshake(Peer& peer, Instant now);
  void send_initiation(Peer& peer, int attempt, Instant now);
  void install(Peer& peer, std::shared_ptr<session::Session> session, Instant now);
  // Sending.
  enum class Spread { best, every };
  void send_unsealed(const Peer& peer, ByteView datagram, Spread spread);
  void send_control(Peer& peer, const Bytes& message, const Endpoint* direct, Instant now);
  void ping_relay(Peer& peer, Instant now);
  void flush_waiting(Peer& peer, Instant now);
  void drop_waiting(Peer& peer, Drop reason);
  // Timers.
  void tick(Peer& peer, Instant now);
  void expire(Peer& peer, Instant now);
  void probe(Peer& peer, Instant now);
  Instant deadline_of(const Peer& peer) const;
  // Bookkeeping.
  void forget_sessions(Peer& peer);
  void erase_index(std::uint32_t index) { by_index_.erase(index); }
  std::uint32_t new_index(MemberId peer);
  Peer* find(MemberId id);
  Peer* find_key(const PublicKey& key);
  Peer* find_index(std::uint32_t index);
  std::vector<Candidate> usable_candidates(const Member& member) const;
  dataplane::Peer route(const Peer& peer) const;
  void publish_if_dirty(Instant now);

  PeersParams params_;
  ports::UdpPort& udp_;
  Rng& rng_;
  dataplane::Published<dataplane::PeerTable>& published_;
  noise::CookieChecker cookie_checker_;
  Counters counters_;
  l2::Segmenter segmenter_;
  dataplane::FrameSender sender_;

  std::optional<NetworkInfo> network_;
  Member self_;
  Endpoint relay_;
  std::uint32_t relay_tag_ = 0;
  bool relay_usable_ = false;
  std::map<MemberId, Peer> peers_;
  std::unordered_map<std::uint32_t, MemberId> by_index_;  // every local session index in use
  std::uint64_t next_number_;
  bool dirty_ = true;
  std::vector<std::string> notes_;
  Instant load_window_began_{};
  int load_count_ = 0;
};

}  // namespace eps::node
