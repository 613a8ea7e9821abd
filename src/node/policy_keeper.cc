// SPDX-License-Identifier: MIT
#include "node/policy_keeper.h"

namespace eps::node {
namespace {

// Of the sentences for the log.
constexpr std::size_t kMaxTold = 1024;

std::string dropped_sentence(const std::string& from, const std::string& to, const std::string& rule) {
  return "The network's policy drops frames from " + from + " to " + to + " (" + rule + ").";
}

}  // namespace

bool PolicyKeeper::set(const NetworkPolicy& policy, const Member& self) {
  const bool same_text = policy.text == source_.text;
  if (same_text && (source_.text.empty() || (self.name == self_name_ && self.groups == self_groups_))) return false;
  source_ = policy;
  self_name_ = self.name;
  self_groups_ = self.groups;
  if (!same_text) {
    trouble_.clear();
    told_.clear();
    policy_.reset();
    if (!policy.text.empty()) {
      auto read = policy::Policy::parse(policy.text);
      if (!read) {
        trouble_ = "The network's policy cannot be read by this version (" + read.error().what +
                   "), so nothing passes: update this program.";
        read = policy::Policy::parse("deny all to all");
      }
      policy_ = std::make_shared<const policy::Policy>(std::move(*read));
    }
  }
  renew(same_text);
  return true;
}

void PolicyKeeper::peer_changed(const Member& before, const Member& after) {
  if (policy_ && (before.name != after.name || before.groups != after.groups)) stale_ = true;
}

void PolicyKeeper::renew(bool same) {
  stale_ = false;
  rules_.clear();
  if (!policy_) {
    in_force_.reset();
    flows_.reset();
    return;
  }
  if (!flows_) flows_ = std::make_shared<dataplane::FlowTable>(rng_);
  generation_ = static_cast<std::uint16_t>((generation_ + 1) % dataplane::FlowTable::kGenerations);
  flows_->forget(generation_);
  in_force_ =
      std::make_shared<const dataplane::PolicyInForce>(policy_, flows_, generation_, same ? in_force_.get() : nullptr);
}

std::shared_ptr<const dataplane::PeerRules> PolicyKeeper::rules_for(const Member& peer) {
  if (!in_force()) return nullptr;
  auto& rules = rules_[peer.id];
  if (!rules) {
    const policy::Subject self{self_name_, self_groups_}, other{peer.name, peer.groups};
    rules = std::make_shared<const dataplane::PeerRules>(dataplane::PeerRules{
        policy_, policy::PairRules(*policy_, self, other), policy::PairRules(*policy_, other, self)});
  }
  return rules;
}

std::optional<std::string> PolicyKeeper::tell(const dataplane::PolicyDropped& dropped, const Member& peer,
                                              Instant now) {
  if (!policy_ || told_.size() >= kMaxTold) told_.clear();
  if (!policy_) return std::nullopt;
  const auto [it, added] = told_.try_emplace({peer.id, dropped.heading, dropped.rule}, now);
  if (!added && now - it->second < kTellPolicyAgain) return std::nullopt;
  it->second = now;
  const bool out = dropped.heading == dataplane::Heading::out;
  return dropped_sentence(out ? self_name_ : peer.name, out ? peer.name : self_name_, policy_->name_of(dropped.rule));
}

std::string PolicyKeeper::last_drop(std::uint32_t last, const std::string& from, const std::string& to) const {
  if (last == 0 || !policy_) return "";
  return dropped_sentence(from, to, policy_->name_of(static_cast<std::uint16_t>(last - 1)));
}

std::optional<PolicyStatus> PolicyKeeper::status() const {
  if (!policy_) return std::nullopt;
  PolicyStatus out;
  out.rules = policy_->rules().size();
  out.trouble = trouble_;
  for (std::size_t rule = 0; rule <= out.rules; ++rule) {
    const std::uint64_t packets = in_force_->drops_of(rule);
    if (packets == 0) continue;
    const std::uint32_t line = rule < out.rules ? policy_->rules()[rule].line : 0;
    out.dropped.push_back({line, policy_->name_of(static_cast<std::uint16_t>(rule)), packets});
  }
  return out;
}

}  // namespace eps::node
