// SPDX-License-Identifier: MIT
#pragma once

// Every member's MAC and addresses, for workers that look up what the peer table does not contain because nothing flows
// there. A Directory is a value whose copies share their common parts: a change of one member copies a few hundred
// pointers and one shard, never everything.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ip_network.h"
#include "base/types.h"

namespace eps::dataplane {

struct Resident {
  MemberId id;
  Mac mac;
  Ip4 address;
  bool online = false;             // according to the server, now or last
  std::vector<IpNetwork> further;  // further ranges that it may use
  bool bridge = false;             // machines behind it have their own MACs and addresses
  IpAddress address6 = {};         // derived from its MAC; unspecified: the network has no IPv6 prefix
  bool serves_dhcp = false;        // it may
  bool operator==(const Resident&) const = default;
};

// The new owner of an address: neighbour caches that have another one are wrong.
struct Binding {
  IpAddress address;
  Mac mac;
};

// Thread rules: one thread changes a Directory; copies of it may be read by others.
class Directory {
 public:
  // Replaces the entry of this MAC.
  void put(const Resident& resident);
  void erase(const Mac& mac);
  // Null: no member has it.
  const Resident* by_mac(const Mac& mac) const;
  // The member that owns the address: its IPv4 address, its IPv6 address or its link-local one.
  const Resident* by_address(const IpAddress& address) const;
  // The members that may use an address that no member owns, or have a machine behind them that may; several may share
  // one and take turns.
  std::vector<const Resident*> holders_of(const IpAddress& address) const;
  std::vector<const Resident*> bridges() const;  // those with machines behind them
  std::size_t online() const { return online_; }
  // How many may serve DHCP.
  std::size_t dhcp_servers() const { return dhcp_servers_; }

  // Announces a member's binding to the kernel, once.
  void announce(const Mac& mac);
  // Announcements still to be made; each is given to one caller of all threads. Of more than kMaxBindings at once, only
  // the newest: the others are corrected when the kernel asks again.
  std::span<const Binding> take_announcements() const;

 private:
  static constexpr std::size_t kShards = 256;
  static constexpr std::size_t kMaxBindings = 512;
  using Entry = std::shared_ptr<const Resident>;
  using Shard = std::shared_ptr<const std::vector<Entry>>;
  using Shards = std::array<Shard, kShards>;

  static std::size_t shard_of(const Mac& mac);
  static std::size_t shard_of(Ip4 address);
  void note_further();

  Shards by_mac_;
  Shards by_address_;
  std::shared_ptr<const std::vector<Entry>> sharing_;  // the few with further addresses or machines behind them
  std::size_t online_ = 0;
  std::size_t dhcp_servers_ = 0;
  std::shared_ptr<const std::vector<Binding>> bindings_ = std::make_shared<const std::vector<Binding>>();
  std::uint64_t announced_ = 0;  // in total; the last of them end `bindings_`
  std::shared_ptr<std::atomic<std::uint64_t>> said_ = std::make_shared<std::atomic<std::uint64_t>>(0);
};

}  // namespace eps::dataplane
