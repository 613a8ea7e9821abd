// SPDX-License-Identifier: MIT

// The IPv6 address of the EPS interface; os/link.cc keeps everything else.

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "base/limits.h"
#include "os/link.h"

namespace eps::os {
namespace {

constexpr std::uint8_t kPrefix6 = 64;

}  // namespace

Result<void> NetlinkLink::change_address6(std::uint16_t type, std::uint16_t flags, const IpAddress& address,
                                          int index) {
  NetlinkMessage request(type, flags);
  ifaddrmsg& info = request.family<ifaddrmsg>();
  info.ifa_family = AF_INET6;
  info.ifa_prefixlen = kPrefix6;
  info.ifa_flags = IFA_F_NODAD;
  info.ifa_scope = RT_SCOPE_UNIVERSE;
  info.ifa_index = static_cast<unsigned>(index);
  request.put(IFA_ADDRESS, address.bytes.data(), address.bytes.size());
  const std::string where = index == index_ ? device_ : bridge_;
  return socket_.request(request, (type == RTM_NEWADDR ? "add the address " : "remove the address ") +
                                      to_string(address) + (type == RTM_NEWADDR ? " to " : " from ") + where);
}

// As clean_address(), for IPv6. The kernel drops such an address with each time the interface goes down.
Result<void> NetlinkLink::clean_address6(const KernelView& kernel, const std::optional<ports::LinkConfig>& before,
                                         const Interface& own) {
  const int home = this->home(kernel, own);
  for (const InterfaceAddress& address : kernel.addresses) {
    const bool stale = before && address.address == before->address6 && address.address != set_->address6;
    const bool left_behind = address.address == set_->address6 && address.index == own.index && home != own.index;
    if ((address.index != home || !stale) && !left_behind) continue;
    (void)change_address6(RTM_DELADDR, 0, address.address, address.index);  // it may have gone by itself
  }
  no_ip6_ = set_->address6.is_unspecified() || set_->mtu < kMinIp6Mtu;
  if (no_ip6_ || (before && before->address6 == set_->address6 && home == own.index && own.master != 0)) return {};
  // Where IPv6 is switched off, there is none.
  no_ip6_ = !change_address6(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address6, home);
  return {};
}

void NetlinkLink::repair_address6(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  const int home = this->home(kernel, own);
  bool found = false, elsewhere = false;
  for (const InterfaceAddress& address : kernel.addresses) {
    if (address.address != set_->address6) continue;
    found |= address.index == home;
    elsewhere |= address.index != home;
    if (address.index == own.index && home != own.index) {
      done(change_address6(RTM_DELADDR, 0, set_->address6, own.index), report);
    }
  }
  if (no_ip6_ || found || (home == own.index && (elsewhere || own.master != 0))) return;
  // The address goes away with the interface's state and place, and the repair of those reports the cause.
  const bool caused = repair_count_ > 0 && now - last_repair_at_ < std::chrono::seconds(1);
  if (!caused && home == own.index &&
      !may_repair("the address " + to_string(set_->address6) + " was gone", report, now)) {
    return;
  }
  no_ip6_ = !change_address6(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, set_->address6, home);
}

}  // namespace eps::os
