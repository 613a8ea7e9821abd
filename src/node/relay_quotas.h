// SPDX-License-Identifier: MIT
#pragma once

// The quotas of all members that a relay serves, and who exceeds them: told at once, and then every minute as long
// as it goes on. Costs nothing per datagram, and a round of telling visits only those who exceed theirs.
//
// Thread rules: one thread (the control thread); workers use the quotas.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "dataplane/relay_quota.h"
#include "model/relay_limit.h"

namespace eps::node {

inline constexpr Duration kTellLimited = std::chrono::minutes(1);

class RelayQuotas {
 public:
  explicit RelayQuotas(const RelayLimit& limit = {}) : limit_(limit) {}
  const RelayLimit& limit() const { return limit_; }
  // Holds for all from now on.
  void set(const RelayLimit& limit);
  // The member's own; the same until forget(), whatever its connections do.
  const std::shared_ptr<dataplane::RelayQuota>& of(MemberId member);
  // It is no longer a member.
  void forget(MemberId member);

  struct Excess {
    MemberId member;
    // Dropped since the last telling; 0: it has just begun.
    std::uint64_t packets = 0, bytes = 0;
  };
  // A worker reported that the member exceeds its quota.
  Excess begin(MemberId member, Instant now);
  // Those who went on in the minute that is over.
  std::vector<Excess> take_due(Instant now);
  Instant next_deadline() const { return tell_at_; }
  bool exceeds(MemberId member) const { return exceeding_.contains(member); }
  std::uint64_t packets_dropped(MemberId member) const;

 private:
  struct Told {
    std::uint64_t packets = 0, bytes = 0;
  };
  RelayLimit limit_;
  std::map<MemberId, std::shared_ptr<dataplane::RelayQuota>> quotas_;
  std::map<MemberId, Told> exceeding_;
  Instant tell_at_ = kNever;
};

// "a (192.168.43.7) sends more through this relay than 50mbit: the rest is dropped." or what it was in a minute.
std::string sentence_of(const RelayQuotas::Excess& excess, const std::string& who, const RelayLimit& limit);

}  // namespace eps::node
