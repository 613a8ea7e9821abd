// SPDX-License-Identifier: MIT
#pragma once

// The machine's network configuration through rtnetlink: ours is set and kept as it was set, the other interfaces' is
// only read.
//
//   ours      the bridge that it is wanted in, MAC address, link up, ARP on, group, the EPS addresses, the routes to
//             the networks (to each member where another interface has addresses of the network), the rules of
//             os/underlay_routes.h and os/source_routes.h
//   set once  MTU (again when the network's changes), queue length, how the link-local IPv6 address is made
//   not ours  everything else: further addresses and routes, which bridge it is a port of, and a port's MAC and EPS
//             address once somebody else has changed them

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/ip_network.h"
#include "base/time.h"
#include "model/group_filter.h"
#include "os/default_routes.h"
#include "os/interfaces.h"
#include "os/netlink.h"
#include "os/underlay_routes.h"
#include "ports/link.h"

namespace eps::os {

// Frames that wait in the TAP device for us to read them. Bounded, because they are delay: 500 full frames of 1400
// bytes are 0.7 MB, a millisecond at 6 Gbit/s. (Super-frames count as one.)
inline constexpr std::uint32_t kTxQueueLength = 500;

class NetlinkLink final : public ports::LinkPort {
 public:
  // `device`: the name of the EPS interface, which exists when configure() is called. `bridge`: a bridge that it should
  // join whenever that exists; the bridge then has the EPS address instead of the interface. "": none.
  static Result<std::unique_ptr<NetlinkLink>> open(std::string device, std::string bridge = "");

  Result<void> configure(const ports::LinkConfig& config) override;
  // The members that get routes of their own while the network collides with another, and whose changed MAC addresses
  // the kernel must forget. `changed`: those that can have changed since the previous call; one without an address is
  // no longer a member.
  struct Neighbour {
    Ip4 address;
    Mac mac;
    bool operator==(const Neighbour&) const = default;
  };
  void update_members(const std::map<MemberId, std::optional<Neighbour>>& changed);
  // All members: those not named are no longer members.
  void set_members(const std::map<MemberId, std::optional<Neighbour>>& members);

  struct Report {
    ports::Underlay underlay;
    std::vector<std::uint32_t> inside;   // indices of the interfaces that EPS runs in
    std::vector<std::uint32_t> uplinks;  // and of those with a default route
    std::vector<std::string> notes;      // for the log: repairs, and what began and ended
    std::vector<std::string> troubles;   // for the status: what is wrong now
    std::string bridge;                  // of which the interface is a port; "": none
    std::string address_on;              // the interface that has the EPS address; "": none has it
    Instant again = kNever;              // when to call again even without a change
  };
  // Compares the desired state with the present one, and repairs what is ours. Call after every change of the machine's
  Report reconcile(Instant now);
  // Whether members have routes of their own now, or will once they are known.
  bool collides() const { return !collision_.empty() || !collision6_.empty() || !twins_.empty(); }
  // Which multicast the kernel takes from the interface; everything if it does not say.
  GroupFilter group_filter();
  // Removes what would outlive the interface, unless another client needs it.
  void restore();
  // The default routes that do not lead through the EPS interface.
  Result<std::set<std::string>> ways_out() { return default_routes(socket_, index_); }

 private:
  static constexpr std::ptrdiff_t kMaxRepairs = 20;  // per kRepairWindow: beyond that, another program disagrees
  static constexpr Duration kRepairWindow = std::chrono::seconds(10);
  static constexpr Duration kToldFor = std::chrono::hours(1);  // a repair is shown in the status
  // So many repairs within kGoesOnWindow, over kGoesOnSpan at least, are no single act: it goes on.
  static constexpr std::size_t kGoesOn = 3;
  static constexpr Duration kGoesOnWindow = std::chrono::minutes(1);
  static constexpr Duration kGoesOnSpan = std::chrono::seconds(2);

  NetlinkLink(std::string device, std::string bridge, NetlinkSocket socket);
  Result<void> configure_link(const ports::LinkConfig& config, Interface& own);
  Result<void> set_up(int index, bool up);
  Result<void> set_flag_off(int index, unsigned flag, const std::string& tried);
  Result<void> set_group(int index, std::uint32_t group);
  Result<void> clean_address(const KernelView& kernel, const ports::LinkConfig& config, const Interface& own);
  Result<void> join_bridge(const Interface& bridge, const Interface& own);
  // The bridge that the interface should be a port of; null: it does not exist, or none is configured.
  const Interface* find_bridge(const KernelView& kernel) const;
  // Whether an earlier run put it on a bridge and was killed. A user's own has no mark of ours.
  bool is_left_over(const InterfaceAddress& address, const Interface& own, int home) const;
  // The index of the interface that the EPS address belongs on.
  int home(const KernelView& kernel, const Interface& own) const;
  void repair_bridge(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  Result<void> change_address(std::uint16_t type, std::uint16_t flags, Ip4 address, std::uint8_t prefix, int own);
  // In its /64. Without detection of duplicates: the server sees to it that there are none.
  Result<void> change_address6(std::uint16_t type, std::uint16_t flags, const IpAddress& address, int index);
  Result<void> clean_address6(const KernelView& kernel, const std::optional<ports::LinkConfig>& before,
                              const Interface& own);
  bool takes_ip6(const Interface& home, Report& report) const;
  void repair_address6(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  // Before the client ends.
  void remove_addresses6(int bridge);
  void repair_link_local(const KernelView& kernel, int home);
  void repair_routes6(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  Result<void> change_route6(std::uint16_t type, const IpNetwork& to, int home);
  Result<void> change_route(std::uint16_t type, const Ip4Network& to, int own);
  void forget_neighbour(Ip4 address);

  void repair(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  void repair_link(const Interface& own, Report& report, Instant now);
  void repair_address(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  void repair_routes(const KernelView& kernel, const Interface& own, Report& report, Instant now);
  void group_stacked(const KernelView& kernel, const std::set<int>& inside);
  void look_for_twins(const KernelView& kernel, const Interface& own, Report& report);
  // Whether the route to the network makes room for routes to the members.
  bool yields() const { return !collision_.empty() || yields_; }
  void tell_filter(const KernelView& kernel, const std::set<int>& inside, Report& report);
  // `collision` is that of now, `before` the one that was told last.
  void tell_collision(const std::string& network, const Collision& collision, std::string& before, Report& report);
  std::set<IpAddress> reserved(const KernelView& kernel, int own) const;
  void tell_repairs(Report& report, Instant now);
  // Whether one more repair may be made now; if so it is reported as `what`.
  bool may_repair(const std::string& what, Report& report, Instant now);
  void done(const Result<void>& result, Report& report);

  // By its number once it was found: it may get another name while we run.
  bool is_own(const Interface& interface) const {
    return index_ != 0 ? interface.index == index_ : interface.name == device_;
  }
  const Interface* find_own(const KernelView& kernel) const;

  std::string device_;
  const std::string bridge_;
  int address_on_ = 0;  // the index of the interface that has our address
  int index_ = 0;
  NetlinkSocket socket_;
  UnderlayRoutes routes_;
  std::optional<ports::LinkConfig> set_;  // what was set last
  std::map<MemberId, Neighbour> members_;
  std::string collision_;  // what has IPv4 addresses of the network besides; "": nothing
  std::string collision6_;
  std::string twins_;    // that another EPS network of this computer has addresses of this one; "": none has
  bool yields_ = false;  // to that one
  bool shared_ = false;  // another EPS interface has addresses of the network
  bool looked_for_twins_ = false;
  bool withheld_ = false;         // the EPS address, because the gateway of another network has the same
  bool no_ip6_ = false;           // the interface takes no IPv6 address
  bool gave_link_local_ = false;  // to the bridge
  bool missing_ = false;          // the interface is not in this network namespace
  std::string rules_error_;
  std::string cut_;              // that the bridge loses large frames; "": it does not
  std::string filtered_;         // the uplink whose strict reverse path filter drops the underlay; "": none
  std::deque<Instant> repairs_;  // of the last kGoesOnWindow
  std::size_t repair_count_ = 0;
  std::string last_repair_;
  Instant last_repair_at_{};
  std::map<std::string, Instant> told_;
};

}  // namespace eps::os
