// SPDX-License-Identifier: MIT
// The part of NetlinkLink that concerns the bridge of which the interface is a port, or should be.

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <string>

#include "os/link.h"

namespace eps::os {

const Interface* NetlinkLink::find_bridge(const KernelView& kernel) const {
  if (bridge_.empty()) return nullptr;
  const auto found = std::ranges::find_if(kernel.interfaces,
                                          [&](const Interface& i) { return i.name == bridge_ && i.kind == "bridge"; });
  return found == kernel.interfaces.end() ? nullptr : &*found;
}

bool NetlinkLink::is_left_over(const InterfaceAddress& address, const Interface& own, int home) const {
  return address.protocol == kEpsProtocol && address.index != home && address.index != own.master;
}

Result<void> NetlinkLink::join_bridge(const Interface& bridge, const Interface& own) {
  NetlinkMessage request(RTM_NEWLINK, 0);
  request.family<ifinfomsg>().ifi_index = own.index;
  request.put_u32(IFLA_MASTER, static_cast<std::uint32_t>(bridge.index));
  return socket_.request(request, "make " + device_ + " a port of " + bridge_);
}

void NetlinkLink::repair_bridge(const KernelView& kernel, const Interface& own, Report& report, Instant now) {
  const Interface* const master = kernel.interface(own.master);
  if (master != nullptr && master->kind == "bridge") report.bridge = master->name;
  // A bridge drops what is larger than the port that it leaves through, in silence.
  const auto larger = std::ranges::find_if(kernel.interfaces, [&](const Interface& port) {
    return own.master != 0 && port.master == own.master && port.mtu > own.mtu;
  });
  const std::string cut = larger == kernel.interfaces.end()
                              ? ""
                              : "Frames beyond " + std::to_string(own.mtu) + " bytes from " + larger->name +
                                    ", another port of the bridge, are lost: its MTU is " +
                                    std::to_string(larger->mtu) + ", that of " + device_ + " " +
                                    std::to_string(own.mtu) + ". Start eps-server with --mtu " +
                                    std::to_string(larger->mtu) + ": larger frames are cut to what a path takes.";
  if (!cut.empty()) report.troubles.push_back(cut);
  if (cut != cut_ && !cut.empty()) report.notes.push_back(cut);
  cut_ = cut;
  if (bridge_.empty()) return;
  const Interface* const bridge = find_bridge(kernel);
  if (bridge == nullptr) {
    report.troubles.push_back("There is no bridge " + bridge_ + " on this computer; " + device_ +
                              " becomes a port of it once it exists: ip link add " + bridge_ + " type bridge");
  } else if ((bridge->flags & IFF_UP) == 0) {
    report.troubles.push_back(bridge_ + " is down: ip link set " + bridge_ + " up");
  }
  const bool was_there = address_on_ != 0 && address_on_ != own.index;
  if (bridge == nullptr || own.master == bridge->index) return;
  // A bridge that appears later is not a repair.
  if (!was_there || may_repair("it was no port of " + bridge_, report, now)) done(join_bridge(*bridge, own), report);
}

}  // namespace eps::os
