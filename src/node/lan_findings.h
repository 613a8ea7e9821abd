// SPDX-License-Identifier: MIT
#pragma once

// Problems on the LAN for which something was dropped, as sentences with their remedies: each at most once a minute in
// the log, and for ten minutes in the status.

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "model/status.h"

namespace eps::node {

inline constexpr Duration kTellAgain = std::chrono::minutes(1);
inline constexpr Duration kFindingLife = std::chrono::minutes(10);
inline constexpr std::size_t kMaxFindings = 32;  // the one not seen for the longest time is replaced

class LanFindings {
 public:
  // The line for the log, unless it was logged within the last minute. `about`: whom forget() names.
  std::optional<std::string> note(std::string what, std::string mend, Instant now, MemberId about = {});
  // What was found about this member need not be so any more.
  void forget(MemberId about);
  std::vector<LanFinding> list(Instant now) const;

 private:
  struct Kept {
    std::string what, mend;
    Instant met{};
    Instant told{};
    MemberId about;
  };
  std::vector<Kept> kept_;
};

}  // namespace eps::node
