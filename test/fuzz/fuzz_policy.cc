// SPDX-License-Identifier: MIT

// The text of a policy: whatever it is, it is read or refused with a sentence, and what was read decides.

#include "base/check.h"
#include "policy/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace eps;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto policy = policy::Policy::parse(text);
  if (!policy) {
    EPS_CHECK(!policy.error().what.empty());
    return 0;
  }
  const std::vector<std::string> groups = {"iot"};
  const policy::Subject a{"a", groups}, b{"hub", {}};
  const policy::PairRules rules(*policy, a, b);
  const auto verdict = rules.decide({IpAddress::from_v4({1}), IpAddress::from_v4({2}), true, policy::kTcp, 443});
  EPS_CHECK(verdict.rule <= policy->rules().size());
  EPS_CHECK(!policy->name_of(verdict.rule).empty());
  return 0;
}
