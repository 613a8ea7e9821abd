// SPDX-License-Identifier: MIT

// Other EPS interfaces of this computer with addresses of this network: of another member of it, or of another
// network with the same range. os/link.cc keeps everything else.

#include <algorithm>
#include <utility>

#include "os/link.h"
#include "os/source_routes.h"

namespace eps::os {

// Two members of one network share its routes: what is sent from no particular address takes the first, and reaches
// everybody. Of two networks the interface that was made later yields, as to any other network. In both cases each
// address gets a rule of its own (os/source_routes.h), or nobody would get an answer from all but one of them.
void NetlinkLink::look_for_twins(const KernelView& kernel, const Interface& own, Report& report) {
  const Ip4Network& network = set_->network;
  const auto is_member = [&](Ip4 address, const Mac& mac) {
    return std::ranges::any_of(members_, [&](const auto& m) { return m.second == Neighbour{address, mac}; });
  };
  bool shared = false, same_address = false;
  const Interface* stranger = nullptr;  // of another network: the one that was made first
  for (const InterfaceAddress& a : kernel.addresses) {
    const Interface* const on = kernel.interface(a.index);
    if (on == nullptr || a.index == own.index || !is_eps(*on)) continue;
    const IpPrefix theirs = prefix_of(a);
    if (!a.address.is_v4()) {
      shared |= theirs.contains(set_->address6);
      continue;
    }
    const Ip4 ip = a.address.v4();
    if (!network.contains(ip) && !theirs.contains(IpAddress::from_v4(network.base))) continue;
    shared = true;
    if (is_member(ip, on->mac)) continue;
    same_address |= ip == set_->address && on->index < own.index;
    if (stranger == nullptr || on->index < stranger->index) stranger = on;
  }
  const bool yielded = yields_;
  yields_ = stranger != nullptr && stranger->index < own.index;
  const std::string before = std::exchange(twins_, "");
  if (stranger != nullptr) {
    twins_ =
        "The EPS network " + to_string(network) + " overlaps that of " + stranger->name +
        ", another EPS network of this computer: " +
        (yields_ ? "through " + device_ + " only the members themselves are reached, and they go before those of " +
                       stranger->name + " that have the same addresses"
                 : "a member there goes before one here that has the same address") +
        (same_address ? ". Both networks gave this computer " + to_string(set_->address) +
                            ", so that members of this one may get no answer from it"
                      : "") +
        ". Give one of the two another range (--network of its server), or run one of the two clients in a network "
        "namespace of its own.";
    report.troubles.push_back(twins_);
  }
  // The earlier one's client knows a second member of its network only some time after that has its address.
  if (yields_ && twins_ != before) report.notes.push_back(twins_);
  if (yielded && !yields_) {
    report.notes.push_back("No other EPS network of this computer has addresses of " + to_string(network) +
                           " any more: all of it is reached through " + device_ + ".");
  }

  std::vector<SourceRoute> wanted;
  for (const InterfaceAddress& a : kernel.addresses) {
    if (!shared || own.master != 0 || a.index != own.index) continue;
    const bool ours = a.address == set_->address6 || (a.address == IpAddress::from_v4(set_->address) && !same_address);
    if (ours) wanted.push_back({a.address, prefix_of(a)});
  }
  // Also once without need: an earlier run that was killed may have left rules.
  if (looked_for_twins_ && !shared && !shared_) return;
  done(set_source_routes(socket_, own.index, wanted), report);
  looked_for_twins_ = true;
  shared_ = shared;
}

}  // namespace eps::os
