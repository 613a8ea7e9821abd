// SPDX-License-Identifier: MIT
#pragma once

// The LAN that the members form, as reported to this node's workers and its user: where each member is
// (dataplane/directory.h), and what was dropped because of a problem on the LAN.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "model/network.h"
#include "model/status.h"
#include "node/lan_findings.h"
#include "node/relay_quotas.h"

namespace eps::node {

// Absent members whose return is remembered to be announced. So many at once are a scan of the network.
inline constexpr std::size_t kMaxAbsentWanted = 256;

class Lan {
 public:
  // `device`: the interface's name, for sentences; `notes` receives those for the log.
  Lan(std::string device, std::vector<std::string>& notes) : device_(std::move(device)), notes_(notes) {}

  // `before`: the previous state of this member; null when it is new. `address6`: as in PeerTable.
  void move_in(const Member& member, const Member* before, const IpAddress& address6);
  void move_out(const Member& member);
  // What the member may use has changed: what was refused from it before is no finding any more.
  void on_grants(const Member& member) { findings_.forget(member.id); }
  // There is a list of members: from now on the kernel may remember who had an address.
  void on_list(bool known) { list_known_ = known; }
  void fill(dataplane::NetworkView& view);

  // Its addresses are announced when it comes back: the kernel would ask again a second later.
  void on(const dataplane::AbsentWanted& wanted);
  // `owner`: the member that owns the MAC or address, if another one does; else null.
  // `outside`: the address belongs to another interface of this computer.
  void on(const dataplane::FrameRefused& refused, const Member& sender, const Member* owner, bool outside, Instant now);
  void on(const dataplane::LoopSeen& seen, const Member* twin, Instant now);
  // `sender`: null: this computer.
  void on(const dataplane::TooManyGroupFrames& too_many, const Member* sender, Instant now);
  // The peer calls for other paths more often than this node looks for them.
  void on_calls(const Member& peer, Instant now);
  // This node relays for the sender.
  void on(const RelayQuotas::Excess& excess, const Member& sender, const RelayLimit& limit, Instant now);
  std::vector<LanFinding> findings(Instant now) const { return findings_.list(now); }
  const dataplane::GroupState& groups() const { return *groups_; }

 private:
  void tell(std::string what, std::string mend, Instant now, MemberId about = {});

  const std::string device_;
  std::vector<std::string>& notes_;
  dataplane::Directory directory_;
  bool changed_ = true;  // since the last fill()
  bool list_known_ = false;
  std::set<MemberId> wanted_;  // of the absent
  std::shared_ptr<const dataplane::Directory> published_;
  std::shared_ptr<dataplane::GroupState> groups_ = std::make_shared<dataplane::GroupState>();
  std::shared_ptr<dataplane::Stations> stations_ = std::make_shared<dataplane::Stations>();
  LanFindings findings_;
};

}  // namespace eps::node
