// SPDX-License-Identifier: MIT
#pragma once

// Who is where: every member's MAC and addresses, for workers that look up what the peer table does not hold, because
// nothing flows there. A Directory is a value whose copies share what they have in common: a change of one member
// copies a few hundred pointers and one shard, never the whole.

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
  bool online = false;             // as the server says, or said last
  std::vector<IpNetwork> further;  // ranges that it may use besides
  bool bridge = false;             // machines behind it have MACs and addresses of their own
  IpAddress address6 = {};         // made of its MAC; unspecified: the network has no IPv6 prefix
  bool operator==(const Resident&) const = default;
};

// The owner of an address, which changed: neighbour caches that know another are wrong.
struct Binding {
  IpAddress address;
  Mac mac;
};

// Thread rules: one thread changes a Directory; copies of it may be read by others.
class Directory {
 public:
  // In place of what is known of this MAC.
  void put(const Resident& resident);
  void erase(const Mac& mac);
  // Null: no member's.
  const Resident* by_mac(const Mac& mac) const;
  // The member whose own address it is: its IPv4 address, its IPv6 address or its link-local one.
  const Resident* by_address(const IpAddress& address) const;
  // Those that may use an address that is nobody's own, or have a machine behind them that does; several may share one
  // and take turns.
  std::vector<const Resident*> holders_of(const IpAddress& address) const;
  std::vector<const Resident*> bridges() const;  // those with machines behind them
  std::size_t online() const { return online_; }

  // The binding of a member is to be said to the kernel, once.
  void announce(const Mac& mac);
  // What has not been said yet; each is given to one caller of all threads. Of more than kMaxBindings at once the
  // newest: the others are mended when the kernel asks anew.
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
  std::shared_ptr<const std::vector<Entry>> sharing_;  // those with further addresses or machines behind them: few
  std::size_t online_ = 0;
  std::shared_ptr<const std::vector<Binding>> bindings_ = std::make_shared<const std::vector<Binding>>();
  std::uint64_t announced_ = 0;  // ever; the last of them end `bindings_`
  std::shared_ptr<std::atomic<std::uint64_t>> said_ = std::make_shared<std::atomic<std::uint64_t>>(0);
};

}  // namespace eps::dataplane
