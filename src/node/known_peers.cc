// SPDX-License-Identifier: MIT
#include "node/known_peers.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace eps::node {
namespace {

constexpr std::string_view kServer = "server ";
constexpr std::string_view kPeer = "peer ";
constexpr std::string_view kId = "id:", kAddress = "address:", kName = "name:";

// Enough to distinguish keys, and to compare two by eye.
std::string short_text(const PublicKey& key) {
  return to_base32(key.bytes).substr(0, 16);
}

std::string who(const Member& m) {
  return m.name + " (" + to_string(m.address) + ")";
}

std::string mend_of(const Member& m) {
  return "Ask those who run the server and that computer what has happened; eps --json status shows its public_key "
         "there. If the change is right, accept it with: eps trust " +
         m.name;
}

template <class Value>
const PublicKey* other_key(const KnownKeys& keys, const Value& value, const PublicKey& key) {
  const PublicKey* known = keys.find(value);
  return known == nullptr || *known == key ? nullptr : known;
}

// The next word of the line; the rest of it remains in `line`.
std::string_view take_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

std::optional<PublicKey> parse_key(std::string_view text) {
  const auto raw = from_base32(text);
  PublicKey out;
  if (!raw || raw->size() != out.bytes.size()) return std::nullopt;
  std::ranges::copy(*raw, out.bytes.begin());
  return out;
}

}  // namespace

MembersChanged KnownPeers::look(const MemberList& list, const PublicKey& own, Instant now, MembersChanged changed) {
  // A member that is not refused can only become so through its own change: its bindings are another's only once its
  // key has left the list. A refused one may be so because of another member, and no longer once that one has changed.
  if (changed.all) {
    listed_.clear();
    std::erase_if(refused_, [&](const auto& refused) { return list.find(refused.first) == nullptr; });
    for (const auto& [id, member] : list.members()) {
      if (member.key != own) judge_and_learn(member, list, now);
    }
  } else {
    for (const auto& [id, why] : refused_) changed.ids.push_back(id);
    changed = MembersChanged::of(std::move(changed.ids));
    for (const MemberId id : changed.ids) {
      const Member* member = list.find(id);
      if (member == nullptr) {
        refused_.erase(id);
      } else if (!listed_.empty()) {
        listed_[member->key] = id;
      }
    }
    for (const MemberId id : changed.ids) {
      if (const Member* member = list.find(id); member != nullptr && member->key != own) {
        judge_and_learn(*member, list, now);
      }
    }
  }
  shrink(list);
  return changed;
}

void KnownPeers::judge_and_learn(const Member& member, const MemberList& list, Instant now) {
  const auto told = refused_.find(member.id);
  if (auto why = judge(member, list)) {
    if (told == refused_.end() || told->second.why != *why) {
      warnings_.push_back(who(member) + " is refused. " + *why + " Nothing is sent to it and nothing is taken from " +
                          "it. " + mend_of(member));
    }
    refused_.insert_or_assign(member.id, Refused{std::move(*why), mend_of(member), false});
    return;
  }
  if (told != refused_.end()) {
    notes_.push_back(who(member) + " is refused no longer.");
    refused_.erase(told);
  }
  succeed(member, now);
  learn(member);
}

// Why the member is refused; nullopt: it is not.
std::optional<std::string> KnownPeers::judge(const Member& m, const MemberList& list) {
  const PublicKey* by_id = other_key(keys_, m.id, m.key);
  const PublicKey* by_name = other_key(keys_, m.name, m.key);
  const PublicKey* by_address = other_key(keys_, m.address, m.key);
  if (by_id == nullptr && by_name == nullptr && by_address == nullptr) return std::nullopt;
  const PublicKey* known_name = keys_.find(m.name);
  const bool same_peer = known_name != nullptr && *known_name == m.key;
  // A number alone means nothing if name and key still belong together: a server restored from an old
  // backup has reassigned its numbers.
  if (by_id != nullptr && !same_peer) {
    return "Its key is " + short_text(m.key) + ", but this computer knows member " + std::to_string(m.id.value) +
           " by the key " + short_text(*by_id) + ", and a member's key never changes.";
  }
  const auto still_there = [&](const PublicKey* key, const std::string& what) -> std::optional<std::string> {
    const Member* other = key == nullptr ? nullptr : in_list(*key, list);
    if (other == nullptr) return std::nullopt;
    return what + " belongs to another computer that this one knows, with the key " + short_text(*key) +
           ", which the list calls " + who(*other) + " now. The key here is " + short_text(m.key) + ".";
  };
  if (auto why = still_there(by_name, "The name " + m.name)) return why;
  return still_there(by_address, "The address " + to_string(m.address));
}

const Member* KnownPeers::in_list(const PublicKey& key, const MemberList& list) {
  if (listed_.empty()) {
    for (const auto& [id, m] : list.members()) listed_.emplace(m.key, id);
  }
  const auto it = listed_.find(key);
  const Member* member = it == listed_.end() ? nullptr : list.find(it->second);
  return member == nullptr || member->key != key ? nullptr : member;
}

// Reports a member that has taken the name or the address of a former one.
void KnownPeers::succeed(const Member& m, Instant now) {
  if (const PublicKey* old = other_key(keys_, m.name, m.key)) {
    const std::string how = keys_.find(m.id) != nullptr ? " has taken the name of a member that is no more"
                                                        : " was enrolled anew, as member " + std::to_string(m.id.value);
    Successor s{m.name, who(m) + how + ": its key is " + short_text(m.key) + ", it was " + short_text(*old) + ".",
                "If nobody did that on purpose, look at the server: who controls it can put another computer in the "
                "place of this one. If it is right, eps trust " +
                    m.name + " ends this message.",
                now};
    warnings_.push_back(s.what + " " + s.mend);
    std::erase_if(successors_, [&](const Successor& known) { return known.name == m.name; });
    if (successors_.size() >= kMaxSuccessorsTold) successors_.erase(successors_.begin());
    successors_.push_back(std::move(s));
  } else if (other_key(keys_, m.address, m.key) != nullptr) {
    notes_.push_back(to_string(m.address) + " was the address of a member that is no more, and is that of " + m.name +
                     " now.");
  }
}

void KnownPeers::learn(const Member& m) {
  changed_ |= keys_.bind(m.key, m.id, m.address, m.name);
}

void KnownPeers::trust(const Member& member) {
  learn(member);
  std::erase_if(successors_, [&](const Successor& s) { return s.name == member.name; });
}

// In a network with fluctuating members, the number of former ones is unbounded.
void KnownPeers::shrink(const MemberList& list) {
  if (keys_.size() <= kMaxKnown) return;
  std::set<std::string_view> names;
  std::set<Ip4> addresses;
  for (const auto& [id, m] : list.members()) {
    names.insert(m.name);
    addresses.insert(m.address);
  }
  keys_.keep_if([&](MemberId id) { return list.find(id) != nullptr; }, [&](Ip4 ip) { return addresses.contains(ip); },
                [&](const std::string& name) { return names.contains(name); });
  changed_ = true;
}

std::vector<LanFinding> KnownPeers::findings(Instant now) const {
  std::vector<LanFinding> out;
  for (const Successor& s : successors_) {
    if (now - s.at <= kToldFor) out.push_back({s.what, s.mend, now - s.at});
  }
  return out;
}

std::string KnownPeers::encode(const PublicKey& server) const {
  std::string out = "# The keys of the peers that this EPS client knows; see eps trust in eps(1).\n";
  out.append(kServer).append(to_base32(server.bytes)).append("\n");
  keys_.for_each([&](const PublicKey& key, const KnownKeys::Names& known) {
    out.append(kPeer).append(to_base32(key.bytes));
    for (const Ip4 ip : known.addresses) out.append(" ").append(kAddress).append(to_string(ip));
    for (const MemberId id : known.ids) out.append(" ").append(kId).append(std::to_string(id.value));
    for (const std::string& name : known.names) out.append(" ").append(kName).append(name);
    out.append("\n");
  });
  return out;
}

Result<KnownPeers> KnownPeers::decode(std::string_view text, const PublicKey& server) {
  const auto corrupt = [](std::size_t line) {
    return make_error(Errc::corrupt, "its line " + std::to_string(line) + " is damaged");
  };
  KnownPeers out;
  std::size_t number = 0;
  bool of_this_network = false;
  if (!text.empty() && text.back() != '\n') return make_error(Errc::corrupt, "its end is missing");
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const bool peer = line.starts_with(kPeer);
    if (!peer && !line.starts_with(kServer)) return corrupt(number);
    (void)take_word(line);
    const auto key = parse_key(take_word(line));
    if (!key) return corrupt(number);
    if (!peer) {
      if (*key != server) return KnownPeers();
      of_this_network = true;
      continue;
    }
    if (!of_this_network) return corrupt(number);
    MemberId id;
    Ip4 address;
    std::string name;
    // A word of a kind that the key has already begins another binding.
    const auto bind_if = [&](bool complete) {
      if (!complete) return;
      out.keys_.bind(*key, id, address, name);
      id = {}, address = {}, name.clear();
    };
    while (!line.empty()) {
      std::string_view word = take_word(line);
      const std::string_view kind = word.substr(0, word.find(':') + 1);
      word.remove_prefix(kind.size());
      if (kind == kId) {
        bind_if(id != MemberId{});
        const auto parsed = std::from_chars(word.data(), word.data() + word.size(), id.value);
        if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) return corrupt(number);
      } else if (kind == kAddress) {
        bind_if(address != Ip4{});
        const auto ip = parse_ip4(word);
        if (!ip) return corrupt(number);
        address = *ip;
      } else if (kind == kName && valid_name(word)) {
        bind_if(!name.empty());
        name = word;
      } else {
        return corrupt(number);
      }
    }
    bind_if(true);
  }
  if (!of_this_network) return make_error(Errc::corrupt, "it does not name the server");
  return out;
}

}  // namespace eps::node
