// SPDX-License-Identifier: MIT
#pragma once

// The data plane's view of the world: an immutable snapshot, made by node/ at every change and published to the
// workers. Hot counters live behind pointers that outlive a snapshot.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/rate_limit.h"
#include "base/time.h"
#include "base/types.h"
#include "dataplane/batch.h"
#include "dataplane/directory.h"
#include "dataplane/flow_guard.h"
#include "dataplane/fragments.h"
#include "dataplane/group_guard.h"
#include "dataplane/peer_groups.h"
#include "dataplane/relay_table.h"
#include "dataplane/stations.h"
#include "dataplane/stream_port.h"
#include "l2/segment.h"
#include "l2/source_guard.h"
#include "model/counters.h"
#include "model/group_filter.h"
#include "model/way.h"
#include "ports/udp.h"
#include "session/session.h"
#include "wire/datagram.h"

namespace eps::dataplane {

// Datagrams up to this size pass anywhere; larger ones, and frames in pieces, are a reason to probe the path MTU.
inline constexpr std::size_t kSmallDatagram = 500;

// Traffic of one peer. Written by workers with relaxed atomics once per batch, read by node/ for timers and reports.
struct PeerActivity {
  Counters counters;
  std::atomic<Instant::rep> last_sent{0};              // of anything sealed to the peer
  std::atomic<Instant::rep> last_received{0};          // of anything that authenticated, by any path
  std::atomic<Instant::rep> last_received_on_path{0};  // on the path that we send on: a sign of life of that one
  std::atomic<Instant::rep> last_large{0};             // sent: a datagram above kSmallDatagram, or pieces
  std::atomic<std::uint32_t> next_fragment{0};         // the id of the next frame that is sent in pieces
  Reassembly fragments;                                // of what the peer sends in pieces
  std::atomic<std::uint32_t> opened_direct{0}, opened_relayed{0};  // datagrams, by the path they came
  std::atomic<Instant::rep> last_stray{0};                         // of the last HeardElsewhere
  RateLimit groups;                                                // what it sends to groups
  // Of the last drop by the policy: 1 + the rule's index, for frames to the peer and from it; 0: none.
  std::atomic<std::uint32_t> policy_drop_out{0}, policy_drop_in{0};
  PeerGroups listens;                        // the groups that it listens to
  std::atomic<Instant::rep> unwanted_at{0};  // when an UnwantedGroup was last made of it
  Instant sent_at() const { return Instant(Duration(last_sent.load(std::memory_order_relaxed))); }
  Instant received_at() const { return Instant(Duration(last_received.load(std::memory_order_relaxed))); }
  Instant large_at() const { return Instant(Duration(last_large.load(std::memory_order_relaxed))); }
  Instant received_on_path_at() const {
    return Instant(Duration(last_received_on_path.load(std::memory_order_relaxed)));
  }
};

// One peer as senders of frames see it.
struct Peer {
  MemberId id;
  Mac mac;
  Ip4 address;
  std::vector<IpNetwork> further;             // further addresses that it may use
  bool bridge = false;                        // machines behind it have their own MACs and addresses
  bool serves_dhcp = false;                   // it may
  IpAddress address6 = {};                    // unspecified: the network has no IPv6 prefix
  std::shared_ptr<session::Session> session;  // the one in use; null until there is one
  // A session of which we are the responder and which its initiator had not used when the table was made. Its first
  // datagram may be a question whose answer leaves before the next table is there.
  std::shared_ptr<session::Session> next;
  Endpoint to;                   // the peer's endpoint, or the relay's; !valid() while there is no path
  ports::SocketId socket = 0;    // which local socket to use
  std::uint8_t outer_class = 0;  // which bits of a packet's traffic class are copied to its datagrams
  bool relayed = false;
  wire::RelayHeader envelope;  // prepended to every datagram when relayed
  // The maximum for a datagram's kind byte and content on this path; anything larger is sent in pieces.
  std::size_t max_plain = l2::kNoLimit;
  // The MSS for TCP connections that start now.
  std::size_t promised_plain = l2::kNoLimit;
  // Whether datagrams may leave as runs that the kernel cuts. A network with an MTU below Ethernet's is likely virtual
  // or filtered, and may treat a run that is not cut yet as one oversized packet.
  bool runs = true;
  std::shared_ptr<PeerActivity> activity;
  std::shared_ptr<const PeerRules> rules;  // exactly if the table has a policy
  // The session to seal with: the initiator of an older one may have lost it. Without an older one the frame waits for
  // the next table, which has the path on which the question came.
  session::Session* sealing() const { return session && next && next->confirmed() ? next.get() : session.get(); }
  bool ready() const { return session != nullptr && to.valid(); }
  bool operator==(const Peer&) const = default;
};

// A relay that this node may use: it knows us by the tag, and what it relays to us carries the same tag.
struct RelayHop {
  MemberId relay;  // kServerRelay: the server
  Endpoint endpoint;
  ports::SocketId socket = 0;
  std::uint32_t tag = 0;
  bool operator==(const RelayHop&) const = default;
};

// The network as this node takes part in it: what is the same for all peers.
struct NetworkView {
  MemberId self;
  Mac self_mac;
  Ip4 self_address;
  std::vector<IpNetwork> self_further;
  bool self_bridge = false;
  bool self_serves_dhcp = false;
  Ip4Network network;
  IpAddress self_address6;
  std::shared_ptr<const Directory> directory = std::make_shared<const Directory>();
  std::shared_ptr<GroupState> groups = std::make_shared<GroupState>();
  std::shared_ptr<const GroupFilter> listens = std::make_shared<const GroupFilter>();  // what this node takes
  std::shared_ptr<Stations> stations = std::make_shared<Stations>();
  std::uint16_t mtu = 0;
  std::shared_ptr<const PolicyInForce> policy;  // null: everything is allowed
  std::vector<RelayHop> relays;
  bool operator==(const NetworkView&) const = default;

  // Of a member that may serve DHCP, or may not. As long as nobody may, anybody may give addresses of the network.
  l2::DhcpRight dhcp_right(bool allowed) const {
    if (allowed) return l2::DhcpRight::all;
    const bool somebody = self_serves_dhcp || directory->dhcp_servers() > 0;
    return somebody ? l2::DhcpRight::none : l2::DhcpRight::addresses;
  }
};

struct PeerTable : NetworkView {
  std::shared_ptr<const RelayTable> serves;  // members for which this node relays; null: none
  std::vector<Peer> peers;
  std::unordered_map<Mac, std::uint32_t> by_mac;  // index into peers
  struct Receiving {
    std::shared_ptr<session::Session> session;
    std::uint32_t peer = 0;  // index into peers
    bool operator==(const Receiving&) const = default;
  };
  std::unordered_map<std::uint32_t, Receiving> by_index;  // local session index
  bool operator==(const PeerTable&) const = default;
};

// The rule by which the policy drops the frame, whose bytes from info.l3_offset on are `packet`; nullopt: it may pass.
// Counts and notes a drop.
inline std::optional<std::uint16_t> dropped_by(const PolicyInForce& policy, const Peer& peer, Heading heading,
                                               ByteView packet, const l2::FrameInfo& info, Instant now) {
  const policy::Verdict verdict = policy.check(*peer.rules, peer.id, heading, packet, info, now);
  if (verdict.allow) return std::nullopt;
  auto& last = heading == Heading::out ? peer.activity->policy_drop_out : peer.activity->policy_drop_in;
  last.store(verdict.rule + 1U, std::memory_order_relaxed);
  peer.activity->counters.drop(Drop::policy);
  return verdict.rule;
}

// The members' other than `owner`.
class OtherMembers final : public l2::Others {
 public:
  OtherMembers(const PeerTable& table, MemberId owner) : table_(table), owner_(owner) {}
  bool hold(const Mac& mac) const override {
    return is_other(table_.directory->by_mac(mac)) || (owner_ != table_.self && mac == table_.self_mac);
  }
  bool hold(const IpAddress& address) const override {
    return is_other(table_.directory->by_address(address)) ||
           (owner_ != table_.self &&
            (address == IpAddress::from_v4(table_.self_address) || address == l2::eui64_link_local(table_.self_mac) ||
             address == table_.self_address6));
  }

 private:
  bool is_other(const Resident* resident) const { return resident != nullptr && resident->id != owner_; }
  const PeerTable& table_;
  MemberId owner_;
};

// Hands the newest snapshot to frequent readers: they compare a generation number and take the lock only when it has
// changed. Thread-safe.
template <class T>
class Published {
 public:
  // Called after each publish(), by its thread: wakes all readers, because one without traffic would keep the old
  // snapshot and with it the keys of expired sessions. Set it before the first publish().
  void on_publish(std::function<void()> wake) { wake_ = std::move(wake); }
  void publish(std::shared_ptr<const T> value) {
    {
      const Lock lock(mutex_);
      value_ = std::move(value);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (wake_) wake_();
  }
  // Changes with each publish().
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  // A reader's copy of the pointer, and the generation it belongs to.
  struct View {
    std::shared_ptr<const T> value;
    std::uint64_t generation = 0;
  };
  const T& after(const Batch&, View& view) const {
    if (view.generation != generation_.load(std::memory_order_acquire)) {
      const Lock lock(mutex_);
      view.value = value_;
      view.generation = generation_.load(std::memory_order_relaxed);
    }
    return *view.value;
  }

 private:
  std::function<void()> wake_;
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ EPS_GUARDED_BY(mutex_) = std::make_shared<const T>();
  std::atomic<std::uint64_t> generation_{1};
};

using PublishedPeers = Published<PeerTable>;
using PublishedRelay = Published<RelayTable>;

}  // namespace eps::dataplane
