// SPDX-License-Identifier: MIT
#pragma once

// The policy's enforcement: which frames to and from a peer may pass. The same at both ends: the sender evaluates what
// leaves, the receiver what arrives.
//
//   ARP, neighbour discovery   always pass.
//   a flow                     is evaluated when it opens, and then known in the FlowTable: its frames of both
//                              directions pass. A SYN without ACK always opens one. An ICMP echo is a flow; so is
//                              anything else of IP, by its addresses.
//   an ICMP error              passes if it quotes a packet of a known flow.
//   fragments                  the first is evaluated by its ports, and lets the others of its packet pass. One that
//                              hides its ports, also behind IPv6 extension headers, or overwrites them, never passes.
//   anything but IP            is evaluated frame by frame.
//
// After a change of the policy a known flow is evaluated again at its next frame, in the direction in which it was
// opened: it goes on if the new policy allows it.
//
// Thread rules: all workers and the control thread use one table at once, without locks.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "l2/parse.h"
#include "policy/policy.h"

namespace eps::dataplane {

// Idle times after which a flow is forgotten. RFC 5382 (REQ-5), RFC 4787 (REQ-5), RFC 5508 (REQ-1).
inline constexpr Duration kTcpFlow = std::chrono::minutes(124);
inline constexpr Duration kUdpFlow = std::chrono::minutes(5);
inline constexpr Duration kIcmpFlow = std::chrono::seconds(60);
// RFC 8200, section 4.5: fragments of one packet arrive within this time.
inline constexpr Duration kFragmentFlow = std::chrono::seconds(60);

// From this computer to the peer, or from the peer to this computer.
enum class Heading : std::uint8_t { out, in };
inline Heading opposite(Heading heading) {
  return heading == Heading::out ? Heading::in : Heading::out;
}

// Known flows by a keyed hash; 512 KB. In a full bucket the one that was silent for longest gives way. Two flows are
// taken for one with a probability of 2^-47.
class FlowTable {
 public:
  explicit FlowTable(Rng& rng) : secret_{rng.u64() | 1, rng.u64() | 1, rng.u64() | 1} {}

  struct Key {
    std::uint32_t peer = 0;
    std::uint16_t kind = 0;  // protocol; with kFragments: the packet whose id is in the ports
    std::uint32_t local_port = 0, remote_port = 0;
    IpAddress local, remote;
  };
  static constexpr std::uint16_t kFragments = 0x100;

  struct Known {
    Heading opened = Heading::out;
    bool current = false;  // evaluated by this generation of the policy
  };
  // A flow that was used within `idle`; a current one is in use from now on.
  std::optional<Known> find(const Key& key, std::uint16_t generation, Duration idle, Instant now);
  void put(const Key& key, std::uint16_t generation, Heading opened, Instant now);
  void remove(const Key& key);
  // Those of this generation, whose number is about to be used again.
  void forget(std::uint16_t generation);

  static constexpr std::size_t kWays = 8, kBuckets = 8192;
  static constexpr std::uint16_t kGenerations = 1024;

 private:
  // | tag 34 | generation 10 | opened 1 | last used 19, in units of 4 s |; 0: free
  using Entry = std::atomic<std::uint64_t>;
  struct alignas(64) Bucket {
    std::array<Entry, kWays> entries{};
  };
  struct Place {
    Bucket* bucket;
    std::uint64_t tag;  // at its place in the entry
  };
  Place place_of(const Key& key);
  std::uint64_t secret_[3];
  std::unique_ptr<Bucket[]> buckets_ = std::make_unique<Bucket[]>(kBuckets);
};

// The policy's rules between this computer and one peer.
struct PeerRules {
  std::shared_ptr<const policy::Policy> policy;  // what the others point to
  policy::PairRules out, in;
  const policy::PairRules& of(Heading heading) const { return heading == Heading::out ? out : in; }
};

// The policy that is in force. Its counters are written by workers.
class PolicyInForce {
 public:
  // `older`: the same policy for members that have changed since; its counters go on. Null: there is none.
  PolicyInForce(std::shared_ptr<const policy::Policy> policy, std::shared_ptr<FlowTable> flows,
                std::uint16_t generation, const PolicyInForce* older = nullptr)
      : policy_(std::move(policy)), flows_(std::move(flows)), generation_(generation) {
    drops_ = older != nullptr ? older->drops_ : std::make_shared<Drops>(policy_->rules().size() + 1);
  }

  // `packet`: the frame from info.l3_offset on. Counts what may not pass. REQUIRES: rules of this policy
  policy::Verdict check(const PeerRules& rules, MemberId peer, Heading heading, ByteView packet,
                        const l2::FrameInfo& info, Instant now) const;

  const policy::Policy& policy() const { return *policy_; }
  // Index rules().size(): of what no rule allowed.
  std::uint64_t drops_of(std::size_t rule) const { return (*drops_)[rule].load(std::memory_order_relaxed); }

 private:
  using Drops = std::vector<std::atomic<std::uint64_t>>;
  struct Packet;
  bool knows(const PeerRules& rules, const Packet& packet, const FlowTable::Key& key, Heading heading,
             Instant now) const;
  bool is_error_of_flow(const PeerRules& rules, MemberId peer, Heading heading, ByteView transport,
                        std::uint8_t version, Instant now) const;

  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<FlowTable> flows_;
  std::uint16_t generation_;
  std::shared_ptr<Drops> drops_;  // by rule; the last: no rule
};

}  // namespace eps::dataplane
