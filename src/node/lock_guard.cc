// SPDX-License-Identifier: MIT
#include "node/lock_guard.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace eps::node {
namespace {

using registry::LockChain;

constexpr std::string_view kServer = "server ", kNetwork = "network ", kEntry = "entry ", kSigned = "signed ",
                           kGone = "gone ", kPolicy = "policy ";

std::string who(const Member& m) {
  return m.name + " (" + to_string(m.address) + ")";
}

std::string take_word(std::string_view& line) {
  std::string word(line.substr(0, line.find(' ')));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

std::string count_of_signers(const LockChain& chain) {
  return std::to_string(chain.signers().size()) + (chain.signers().size() == 1 ? " signer" : " signers");
}

template <class Number>
bool parse_number(std::string_view text, Number& to) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), to);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

template <std::size_t N>
bool parse_bytes(std::string_view text, std::array<std::byte, N>& to) {
  const auto raw = from_base32(text);
  if (!raw || raw->size() != N) return false;
  std::ranges::copy(*raw, to.begin());
  return true;
}

}  // namespace

bool LockGuard::receive(const NetworkId& network, const std::vector<Bytes>& entries) {
  const auto next = LockChain::of(network, entries);
  if (!next) {
    trouble("The network lock that the server shows does not verify (" + next.error().what + ").");
    return false;
  }
  if (chain_.empty() && expected_ && !next->began(*expected_)) {
    trouble("The server does not show the network lock " + registry::lock_id_text(*expected_) +
            ", which is in this computer's network key. Until it does, nobody counts.");
    return false;
  }
  if (chain_.continues(*next)) {
    if (next->entries().size() < chain_.entries().size()) {
      trouble("The server shows an older state of the network lock than this computer has seen.");
    } else {
      trouble_.clear();
    }
    return false;
  }
  if (!next->continues(chain_)) {
    trouble("The server shows another network lock than the one that this computer knows.");
    return false;
  }
  trouble_.clear();
  tell_changes(*next);
  if (next->id() != chain_.id()) {
    seen_.clear();
    policy_ = {};
  }
  chain_ = *next;
  network_ = network;
  chain_changed_ = true;
  return true;
}

void LockGuard::trouble(std::string sentence) {
  if (!chain_.empty()) {
    sentence += std::string(" What this computer knows holds: the network lock ") +
                registry::lock_id_text(chain_.id()) + (chain_.on() ? " is on." : " has ended.");
  }
  sentence += " Ask those who run the server.";
  if (trouble_ == sentence) return;
  warnings_.push_back(sentence);
  trouble_ = std::move(sentence);
}

void LockGuard::tell_changes(const LockChain& next) {
  const std::string id = registry::lock_id_text(next.id());
  if (next.on() && next.id() != chain_.id()) {
    notes_.push_back("The network lock " + id + " is on: only members count that one of its signers has signed (" +
                     count_of_signers(next) + "), and nobody can end it without one of its secrets.");
  } else if (next.on()) {
    notes_.push_back("The network lock " + id + " has " + count_of_signers(next) + " now.");
  } else {
    warnings_.push_back("The network lock " + id +
                        " was ended by one of its secrets: from now on the server alone says "
                        "who is a member.");
  }
}

// What was verified once is not verified again.
void LockGuard::verify(const NetworkInfo& network, const Member& m) {
  const Bytes record = registry::locked_record_message(chain_.id(), network, m);
  const Bytes grants = registry::locked_grants_message(chain_.id(), m);
  const crypto::Hash content = crypto::blake2s({record, m.lock.record, grants, m.lock.grants});
  Verdict& verdict = verdicts_[m.id];
  if (verdict.content == content) return;
  verdict = {content, registry::is_record_signed(chain_, network, m), registry::are_grants_signed(chain_, m)};
}

// Why its record alone refuses the member; nullopt: it does not.
std::optional<std::string> LockGuard::judge(const Member& m) const {
  if (m.lock.sequence == 0) return "No signer of the network lock has signed it yet.";
  const auto verdict = verdicts_.find(m.id);
  if (verdict == verdicts_.end() || !verdict->second.record) {
    return "Its record differs from what a signer of the network lock signed: its key, name, MAC or address changed, "
           "or the network did, or its signer was removed.";
  }
  const auto seen = seen_.find(m.id);
  if (seen == seen_.end()) return std::nullopt;
  if (m.lock.sequence < seen->second.sequence) {
    return "Its record is an old one: this computer has seen a newer signature of it.";
  }
  if (seen->second.gone && m.lock.sequence == seen->second.sequence) {
    return "It was removed, as this computer has seen, and was not signed again since.";
  }
  return std::nullopt;
}

std::vector<MemberId> LockGuard::look(const NetworkInfo& network, const MemberList& list, MemberId self,
                                      const MembersChanged& changed) {
  std::map<MemberId, RefusedPeer> refused;
  std::set<MemberId> own_only;
  if (on()) {
    const bool all = changed.all || judged_for_ != network || judged_by_ != chain_.head();
    if (judged_for_ != network || judged_by_ != chain_.head()) verdicts_.clear();
    judged_for_ = network;
    judged_by_ = chain_.head();
    if (all) {
      std::erase_if(verdicts_, [&](const auto& v) { return list.find(v.first) == nullptr; });
      for (const auto& [id, member] : list.members()) verify(network, member);
    } else {
      for (const MemberId id : changed.ids) {
        const Member* member = list.find(id);
        member != nullptr ? verify(network, *member) : void(verdicts_.erase(id));
      }
    }
    std::vector<const Member*> good;
    for (const auto& [id, member] : list.members()) {
      if (auto why = judge(member)) {
        if (id != self) refuse(member, std::move(*why), refused);
      } else {
        good.push_back(&member);
        if (!verdicts_.at(id).grants) own_only.insert(id);
      }
    }
    // The newest signature first: each name, key, MAC and address is of one member.
    std::ranges::stable_sort(good,
                             [](const Member* a, const Member* b) { return a->lock.sequence > b->lock.sequence; });
    std::unordered_map<std::string_view, const Member*> names;
    std::unordered_map<PublicKey, const Member*> keys;
    std::unordered_map<Mac, const Member*> macs;
    std::unordered_map<std::uint32_t, const Member*> addresses;
    const auto clash = [&](const Member& m, const Member& other) {
      const std::string why = "It has the name, key, MAC or address of " + who(other) + ", which is signed as well.";
      if (m.id != self) refuse(m, why, refused);
      if (other.lock.sequence == m.lock.sequence && other.id != self) {
        refuse(other, "It has the name, key, MAC or address of " + who(m) + ", which is signed as well.", refused);
      }
    };
    for (const Member* m : good) {
      const Member* other = nullptr;
      const auto take = [&](auto& map, const auto& what) {
        const auto [it, added] = map.try_emplace(what, m);
        if (!added && other == nullptr) other = it->second;
      };
      take(names, std::string_view(m->name));
      take(keys, m->key);
      take(macs, m->mac);
      take(addresses, m->address.value);
      if (other != nullptr) clash(*m, *other);
    }
    for (const Member* m : good) {
      if (refused.contains(m->id)) continue;
      const Seen now{m->lock.sequence, false};
      Seen& seen = seen_[m->id];
      changed_ |= seen != now;
      seen = now;
    }
    see(list);
  }
  std::vector<MemberId> out;
  const auto differs = [&](const auto& before, const auto& after) {
    for (const auto& item : before) {
      if constexpr (requires { item.first; }) {
        if (!after.contains(item.first)) out.push_back(item.first);
      } else if (!after.contains(item)) {
        out.push_back(item);
      }
    }
  };
  differs(refused_, refused);
  for (const MemberId id : out) {
    if (const Member* m = list.find(id)) notes_.push_back(who(*m) + " is not refused by the network lock any more.");
  }
  differs(refused, refused_);
  differs(own_addresses_only_, own_only);
  differs(own_only, own_addresses_only_);
  refused_ = std::move(refused);
  own_addresses_only_ = std::move(own_only);
  return out;
}

// Who has left must be signed anew to come back under the same number.
void LockGuard::see(const MemberList& list) {
  for (auto& [id, seen] : seen_) {
    if (seen.gone || list.find(id) != nullptr) continue;
    seen.gone = changed_ = true;
  }
  for (auto it = seen_.begin(); seen_.size() > kMaxSignaturesKnown && it != seen_.end();) {
    it = it->second.gone ? seen_.erase(it) : std::next(it);
  }
}

void LockGuard::refuse(const Member& m, std::string why, std::map<MemberId, RefusedPeer>& to) {
  const auto before = refused_.find(m.id);
  if (before == refused_.end() || before->second.why != why) {
    const std::string sentence = who(m) + " is refused. " + why;
    // Who has just joined waits; anything else should not happen.
    m.lock.sequence == 0 ? notes_.push_back(sentence) : warnings_.push_back(sentence);
  }
  to.insert_or_assign(
      m.id,
      RefusedPeer{std::move(why),
                  "If it is right, somebody who holds a key of the lock signs it: eps lock sign " + m.name, true});
}

bool LockGuard::takes(const NetworkPolicy& listed) const {
  if (!on()) return true;
  return listed.sequence >= policy_.sequence && registry::is_policy_signed(chain_, listed);
}

const NetworkPolicy& LockGuard::policy(const NetworkPolicy& listed) {
  if (!on()) return listed;
  if (listed == policy_) {
    policy_trouble_.clear();
    return policy_;
  }
  if (takes(listed)) {
    // Two of one sequence: the one that was seen first counts.
    if (listed.sequence != policy_.sequence) {
      policy_ = listed;
      changed_ = true;
    }
    policy_trouble_.clear();
    return policy_;
  }
  if (policy_.sequence == 0 && !listed.any()) return listed;
  std::string sentence = "The server's policy is not signed as it is now. ";
  sentence += policy_.sequence == 0 ? "It is enforced, as none was signed before."
                                    : "The newest that was signed stays in force.";
  sentence += " If it is right, somebody who holds a key of the network lock signs it: eps lock sign --policy.";
  if (policy_trouble_ != sentence) warnings_.push_back(sentence);
  policy_trouble_ = std::move(sentence);
  return policy_.sequence == 0 ? listed : policy_;
}

bool LockGuard::admits(const NetworkInfo& network, const Member& self) const {
  if (!on()) return true;
  const auto seen = seen_.find(self.id);
  return registry::is_record_signed(chain_, network, self) &&
         (seen == seen_.end() || self.lock.sequence >= seen->second.sequence + (seen->second.gone ? 1 : 0));
}

std::uint64_t LockGuard::next_sequence(MemberId id) const {
  const auto seen = seen_.find(id);
  return seen == seen_.end() ? 1 : seen->second.sequence + 1;
}

bool LockGuard::saw_removal_of(const Member& member) const {
  const auto seen = seen_.find(member.id);
  return seen != seen_.end() && seen->second.gone && member.lock.sequence != 0 &&
         member.lock.sequence <= seen->second.sequence;
}

LockStatus LockGuard::status() const {
  LockStatus out;
  out.on = on();
  out.id = registry::lock_id_text(chain_.empty() && expected_ ? *expected_ : chain_.id());
  for (const PublicKey& key : chain_.signers()) out.signers.push_back(registry::signer_text(key));
  out.not_signed = refused_.size();
  for (const std::string& sentence : {trouble_, policy_trouble_}) {
    if (!sentence.empty()) out.troubles.push_back(sentence);
  }
  return out;
}

std::string LockGuard::encode(const PublicKey& server) const {
  std::string out =
      "# The network lock that this EPS client has seen; see eps lock in eps(1). Without this file it forgets the "
      "lock.\n";
  out.append(kServer).append(to_base32(server.bytes)).append("\n");
  out.append(kNetwork).append(to_base32(network_.bytes)).append("\n");
  for (const Bytes& entry : chain_.entries()) out.append(kEntry).append(to_base32(entry)).append("\n");
  if (policy_.sequence != 0) {
    out.append(kPolicy).append(std::to_string(policy_.sequence)).append(" ");
    out.append(to_base32(policy_.signature)).append(" ").append(to_base32(as_view(policy_.text))).append("\n");
  }
  for (const auto& [id, seen] : seen_) {
    out.append(seen.gone ? kGone : kSigned).append(std::to_string(id.value)).append(" ");
    out.append(std::to_string(seen.sequence)).append("\n");
  }
  return out;
}

Result<LockGuard> LockGuard::decode(std::string_view text, const PublicKey& server) {
  const auto corrupt = [](std::size_t line) {
    return make_error(Errc::corrupt, "its line " + std::to_string(line) + " is damaged");
  };
  LockGuard out;
  NetworkId& network = out.network_;
  std::size_t number = 0;
  bool of_this_server = false, named = false;
  if (!text.empty() && text.back() != '\n') return make_error(Errc::corrupt, "its end is missing");
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const std::string word = take_word(line) + " ";
    if (word == kServer) {
      PublicKey key;
      if (!parse_bytes(line, key.bytes)) return corrupt(number);
      if (key != server) return LockGuard();
      of_this_server = true;
      continue;
    }
    if (!of_this_server) return corrupt(number);
    if (word == kNetwork) {
      if (!parse_bytes(line, network.bytes)) return corrupt(number);
      named = true;
    } else if (word == kEntry) {
      const auto entry = from_base32(line);
      if (!named || !entry || !out.chain_.append(network, *entry)) return corrupt(number);
    } else if (word == kPolicy) {
      NetworkPolicy& policy = out.policy_;
      const bool good =
          parse_number(take_word(line), policy.sequence) && parse_bytes(take_word(line), policy.signature);
      const auto policy_text = from_base32(line);
      if (!good || !policy_text || !valid_policy_text(as_text(*policy_text))) return corrupt(number);
      policy.text = as_text(*policy_text);
    } else if (word == kSigned || word == kGone) {
      MemberId id;
      Seen seen{0, word == kGone};
      if (!parse_number(take_word(line), id.value) || !parse_number(line, seen.sequence)) return corrupt(number);
      out.seen_[id] = seen;
    } else {
      return corrupt(number);
    }
  }
  if (!of_this_server) return make_error(Errc::corrupt, "it names no server");
  return out;
}

}  // namespace eps::node
