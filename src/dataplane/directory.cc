// SPDX-License-Identifier: MIT
#include "dataplane/directory.h"

#include <algorithm>

#include "l2/source_guard.h"

namespace eps::dataplane {
namespace {

using Entry = std::shared_ptr<const Resident>;
using Entries = std::shared_ptr<const std::vector<Entry>>;

Entries with(const Entries& old, const Entry& entry) {
  auto next = old ? std::make_shared<std::vector<Entry>>(*old) : std::make_shared<std::vector<Entry>>();
  next->push_back(entry);
  return next;
}

Entries without(const Entries& old, MemberId id) {
  if (!old) return old;
  auto next = std::make_shared<std::vector<Entry>>(*old);
  std::erase_if(*next, [&](const Entry& e) { return e->id == id; });
  return next;
}

// The MAC from which a member's IPv6 address was derived (RFC 4291, appendix A).
Mac mac_of(const IpAddress& ip) {
  const auto& b = ip.bytes;
  return {{b[8] ^ std::byte{2}, b[9], b[10], b[13], b[14], b[15]}};
}

}  // namespace

std::size_t Directory::shard_of(const Mac& mac) {
  return std::to_integer<std::size_t>(mac.bytes[5]);
}

std::size_t Directory::shard_of(Ip4 address) {
  return address.value & 0xff;
}

void Directory::put(const Resident& resident) {
  erase(resident.mac);
  const auto entry = std::make_shared<const Resident>(resident);
  Shard& macs = by_mac_[shard_of(resident.mac)];
  macs = with(macs, entry);
  Shard& addresses = by_address_[shard_of(resident.address)];
  addresses = with(addresses, entry);
  if (resident.bridge || !resident.further.empty()) sharing_ = with(sharing_, entry);
  online_ += resident.online ? 1 : 0;
  dhcp_servers_ += resident.serves_dhcp ? 1 : 0;
}

void Directory::erase(const Mac& mac) {
  const Resident* found = by_mac(mac);
  if (found == nullptr) return;
  const Resident old = *found;
  Shard& macs = by_mac_[shard_of(mac)];
  macs = without(macs, old.id);
  Shard& addresses = by_address_[shard_of(old.address)];
  addresses = without(addresses, old.id);
  if (old.bridge || !old.further.empty()) sharing_ = without(sharing_, old.id);
  online_ -= old.online ? 1 : 0;
  dhcp_servers_ -= old.serves_dhcp ? 1 : 0;
}

const Resident* Directory::by_mac(const Mac& mac) const {
  const Shard& shard = by_mac_[shard_of(mac)];
  if (!shard) return nullptr;
  const auto found = std::ranges::find_if(*shard, [&](const Entry& e) { return e->mac == mac; });
  return found == shard->end() ? nullptr : found->get();
}

const Resident* Directory::by_address(const IpAddress& address) const {
  if (!address.is_v4()) {
    const Resident* found = by_mac(mac_of(address));
    const bool own = found != nullptr && (l2::eui64_link_local(found->mac) == address || found->address6 == address);
    return own ? found : nullptr;
  }
  const Ip4 ip = address.v4();
  const Shard& shard = by_address_[shard_of(ip)];
  if (!shard) return nullptr;
  const auto found = std::ranges::find_if(*shard, [&](const Entry& e) { return e->address == ip; });
  return found == shard->end() ? nullptr : found->get();
}

std::vector<const Resident*> Directory::holders_of(const IpAddress& address) const {
  std::vector<const Resident*> out;
  if (!sharing_) return out;
  for (const Entry& e : *sharing_) {
    if (e->bridge || std::ranges::any_of(e->further, [&](const IpNetwork& range) { return range.contains(address); })) {
      out.push_back(e.get());
    }
  }
  return out;
}

std::vector<const Resident*> Directory::bridges() const {
  std::vector<const Resident*> out;
  if (!sharing_) return out;
  for (const Entry& e : *sharing_) {
    if (e->bridge) out.push_back(e.get());
  }
  return out;
}

void Directory::announce(const Mac& mac) {
  const Resident* resident = by_mac(mac);
  if (resident == nullptr) return;
  std::vector<Binding> next(*bindings_);
  const std::size_t before = next.size();
  next.push_back({IpAddress::from_v4(resident->address), mac});
  next.push_back({l2::eui64_link_local(mac), mac});
  if (!resident->address6.is_unspecified()) next.push_back({resident->address6, mac});
  announced_ += next.size() - before;
  if (next.size() > kMaxBindings) next.erase(next.begin(), next.end() - kMaxBindings);
  bindings_ = std::make_shared<const std::vector<Binding>>(std::move(next));
}

std::span<const Binding> Directory::take_announcements() const {
  std::uint64_t said = said_->load(std::memory_order_relaxed);
  if (said >= announced_ || !said_->compare_exchange_strong(said, announced_, std::memory_order_relaxed)) return {};
  const std::size_t due = std::min<std::uint64_t>(announced_ - said, bindings_->size());
  return std::span(*bindings_).last(due);
}

}  // namespace eps::dataplane
