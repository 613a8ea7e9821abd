// SPDX-License-Identifier: MIT

// The list begins anew: for clients that hold a version that this server never reaches.

#include <algorithm>

#include "registry/list_digest.h"
#include "registry/registry.h"
#include "registry/registry_internal.h"

namespace eps::registry {
namespace {
// An epoch that is not further ahead of the clock is kept below the new one, for clients of version 0.1.
constexpr std::uint64_t kPlausiblyAhead = 24 * 3600;
}  // namespace

Result<void> Registry::recover(std::int64_t unix_time) {
  if (unix_time < kEarliestClock || unix_time > kLatestClock) {
    return make_error(Errc::invalid_argument,
                      "This computer's clock is wrong: it shows " + std::to_string(unix_time) +
                          " s since 1970, and the member list's versions begin with its time. Set the clock first.");
  }
  const auto clock = static_cast<std::uint64_t>(unix_time);
  const std::uint64_t last = version_ >> 32;
  const std::uint64_t epoch = last < clock + kPlausiblyAhead ? std::max(last + 1, clock) : clock;
  RecoveryId recovery;
  rng_.fill(recovery);
  ports::StoreChange change;
  change.put_meta[kEpoch] = u64_bytes(epoch);
  change.put_meta[kRecovery] = Bytes(recovery.begin(), recovery.end());
  change.audit.push_back(by_actor("recover", "the member list begins anew at version " +
                                                 list_version_text(epoch << 32) + ", after " +
                                                 list_version_text(version_)));
  if (auto stored = commit(std::move(change)); !stored) return stored;
  recovery_ = recovery;
  version_ = oldest_delta_ = policy_version_ = epoch << 32;
  tombstones_.clear();
  for (ChangeLog* log : {&changes_, &records_, &states_, &presence_}) {
    *log = {};
    log->begin_at(version_);
  }
  root_at_start_ = tree_.root();
  records_signatures_.clear();
  signed_version_ = 0;
  return {};
}

crypto::Signature Registry::recovery_proof(const crypto::Hash& binding) const {
  return crypto::sign(identity_.signing_seed, signed_recovery_message(network_.id, recovery_, binding));
}

}  // namespace eps::registry
