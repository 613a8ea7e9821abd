// SPDX-License-Identifier: MIT
#include "registry/network_lock.h"

#include <algorithm>

namespace eps::registry {
namespace {

constexpr std::string_view kTitle = "eps lock entry";
constexpr std::uint8_t kFormat = 1;
constexpr std::string_view kSigner = "eps-signer1-", kSecret = "eps-unlock1-";
constexpr std::size_t kMarkSize = 8 + 2 * sizeof(crypto::Signature);

enum class Kind : std::uint8_t { begins = 1, signer_comes = 2, signer_goes = 3, ends = 4 };

crypto::Hash entry_hash(ByteView entry) {
  return crypto::blake2s({as_view("eps lock entry hash"), entry});
}

crypto::Hash secret_hash(const NetworkId& network, const LockSecret& secret) {
  return crypto::blake2s({as_view("eps lock secret"), network.bytes, secret});
}

bool any_signed(std::span<const PublicKey> signers, ByteView message, const crypto::Signature& signature) {
  return std::ranges::any_of(signers, [&](const PublicKey& key) { return crypto::verify(key, message, signature); });
}

Error corrupt(const std::string& what) {
  return make_error(Errc::corrupt, "an entry of the network lock " + what);
}

Bytes entry_head(const LockChain& chain, const NetworkId& network, Kind kind) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view(kTitle));
  w.u8(kFormat);
  w.bytes(network.bytes);
  w.u32(static_cast<std::uint32_t>(chain.entries().size()));
  w.bytes(chain.head());
  w.u8(static_cast<std::uint8_t>(kind));
  return out;
}

void put_signature(const crypto::Key& seed, Bytes& entry) {
  const crypto::Signature signature = crypto::sign(seed, entry);
  Writer(entry).bytes(signature);
}

template <class Item>
std::optional<std::vector<Item>> read_list(Reader& r, std::size_t most) {
  const std::size_t count = r.u8();
  if (count < 1 || count > most) return std::nullopt;
  std::vector<Item> out;
  for (std::size_t i = 0; i < count; ++i) {
    Item item;
    if constexpr (std::is_same_v<Item, PublicKey>) {
      item.bytes = r.array<32>();
    } else {
      item = r.array<32>();
    }
    if (std::ranges::find(out, item) != out.end()) return std::nullopt;
    out.push_back(item);
  }
  return out;
}

template <std::size_t N>
std::optional<std::array<std::byte, N>> parse_text(std::string_view title, std::string_view text) {
  if (!text.starts_with(title)) return std::nullopt;
  const auto raw = from_base32(text.substr(title.size()));
  if (!raw || raw->size() != N) return std::nullopt;
  std::array<std::byte, N> out;
  std::ranges::copy(*raw, out.begin());
  return out;
}

}  // namespace

Result<void> LockChain::append(const NetworkId& network, ByteView entry) {
  if (entry.size() > kMaxLockEntry) return corrupt("is too large");
  Reader r(entry);
  if (as_text(r.bytes(kTitle.size())) != kTitle) return corrupt("is none");
  if (r.u8() != kFormat) {
    return make_error(Errc::unsupported, "an entry of the network lock has a form that this version does not know");
  }
  if (r.array<16>() != network.bytes) return corrupt("is another network's");
  const std::uint32_t number = r.u32();
  if (r.array<32>() != head_ || number != entries_.size()) return corrupt("does not continue this chain");
  const auto kind = static_cast<Kind>(r.u8());
  if (!r.ok()) return corrupt("is cut short");
  if (entries_.size() + (kind == Kind::ends ? 0 : 1) >= kMaxLockEntries) {
    return make_error(Errc::exhausted,
                      "the network lock has had as many changes as it can hold: end it with one of its "
                      "secrets (eps lock disable)");
  }
  if (on_ == (kind == Kind::begins)) return corrupt(on_ ? "begins a lock that is on" : "changes a lock that is off");

  LockChain next = *this;
  std::vector<PublicKey> may_sign = signers_;
  switch (kind) {
    case Kind::begins: {
      auto signers = read_list<PublicKey>(r, kMaxLockSigners);
      auto secrets = signers ? read_list<crypto::Hash>(r, kMaxLockSecrets) : std::nullopt;
      if (!r.ok() || !signers || !secrets) return corrupt("begins a lock without signers or secrets, or with too many");
      may_sign = {signers->front()};
      next.signers_ = std::move(*signers);
      next.secrets_ = std::move(*secrets);
      next.on_ = true;
      break;
    }
    case Kind::signer_comes: {
      const PublicKey key{r.array<32>()};
      if (std::ranges::find(signers_, key) != signers_.end()) return corrupt("adds a signer that is one");
      if (signers_.size() >= kMaxLockSigners) return corrupt("adds one signer too many");
      next.signers_.push_back(key);
      break;
    }
    case Kind::signer_goes: {
      const PublicKey key{r.array<32>()};
      if (signers_.size() == 1) return corrupt("removes the last signer");
      if (std::erase(next.signers_, key) == 0) return corrupt("removes a signer that is none");
      break;
    }
    case Kind::ends: {
      const crypto::Hash hash = secret_hash(network, r.array<16>());
      if (!r.ok() || std::ranges::find(secrets_, hash) == secrets_.end())
        return corrupt("has none of the lock's secrets");
      next.signers_.clear();
      next.secrets_.clear();
      next.on_ = false;
      break;
    }
    default:
      return make_error(Errc::unsupported, "an entry of the network lock is of a kind that this version does not know");
  }
  if (kind != Kind::ends) {
    const ByteView signed_part = entry.first(entry.size() - r.remaining());
    const crypto::Signature signature = r.array<64>();
    if (!r.ok() || !any_signed(may_sign, signed_part, signature)) return corrupt("is not signed by a signer");
  }
  if (r.remaining() > 0) return corrupt("is too long");
  next.entries_.emplace_back(entry.begin(), entry.end());
  next.head_ = entry_hash(entry);
  if (kind == Kind::begins) next.id_ = next.head_;
  *this = std::move(next);
  return {};
}

Result<LockChain> LockChain::of(const NetworkId& network, std::span<const Bytes> entries) {
  LockChain out;
  for (const Bytes& entry : entries) {
    if (auto ok = out.append(network, entry); !ok) return ok.error();
  }
  return out;
}

bool LockChain::began(const crypto::Hash& id) const {
  return std::ranges::any_of(entries_, [&](const Bytes& entry) { return entry_hash(entry) == id; });
}

bool LockChain::continues(const LockChain& older) const {
  return entries_.size() >= older.entries_.size() &&
         std::equal(older.entries_.begin(), older.entries_.end(), entries_.begin());
}

Bytes begin_lock(const LockChain& chain, const NetworkId& network, const crypto::Key& seed,
                 std::span<const LockSecret> secrets) {
  Bytes out = entry_head(chain, network, Kind::begins);
  Writer w(out);
  w.u8(1);
  w.bytes(crypto::signing_public_key(seed).bytes);
  w.u8(static_cast<std::uint8_t>(secrets.size()));
  for (const LockSecret& secret : secrets) w.bytes(secret_hash(network, secret));
  put_signature(seed, out);
  return out;
}

Bytes change_signer(const LockChain& chain, const NetworkId& network, const crypto::Key& seed, const PublicKey& signer,
                    bool comes) {
  Bytes out = entry_head(chain, network, comes ? Kind::signer_comes : Kind::signer_goes);
  Writer(out).bytes(signer.bytes);
  put_signature(seed, out);
  return out;
}

Bytes end_lock(const LockChain& chain, const NetworkId& network, const LockSecret& secret) {
  Bytes out = entry_head(chain, network, Kind::ends);
  Writer(out).bytes(secret);
  return out;
}

Bytes locked_record_message(const crypto::Hash& lock, const NetworkInfo& network, const Member& m) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps lock record"));
  w.bytes(lock);
  w.u32(network.network.base.value);
  w.u8(network.network.prefix);
  w.bytes(network.network6.value_or(IpNetwork{}).base.bytes);
  w.u64(m.lock.sequence);
  w.u32(m.id.value);
  w.bytes(m.key.bytes);
  w.bytes(m.mac.bytes);
  w.u32(m.address.value);
  w.u8(static_cast<std::uint8_t>(m.name.size()));
  w.bytes(as_view(m.name));
  if (!m.groups.empty()) put_groups(m.groups, w);
  return out;
}

void put_groups(const std::vector<std::string>& groups, Writer& to) {
  to.u8(static_cast<std::uint8_t>(groups.size()));
  for (const std::string& group : groups) {
    to.u8(static_cast<std::uint8_t>(group.size()));
    to.bytes(as_view(group));
  }
}

Bytes locked_policy_message(const crypto::Hash& lock, const NetworkPolicy& policy) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps lock policy"));
  w.bytes(lock);
  w.u64(policy.sequence);
  w.bytes(as_view(policy.text));
  return out;
}

bool is_policy_signed(const LockChain& chain, const NetworkPolicy& policy) {
  return policy.sequence != 0 &&
         any_signed(chain.signers(), locked_policy_message(chain.id(), policy), policy.signature);
}

Bytes locked_grants_message(const crypto::Hash& lock, const Member& m) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps lock grants"));
  w.bytes(lock);
  w.u64(m.lock.sequence);
  w.u32(m.id.value);
  w.bytes(m.key.bytes);
  for (const IpNetwork& range : m.grants.ranges) {
    w.bytes(range.base.bytes);
    w.u8(range.length);
  }
  if (m.grants.bits() != 0) w.u8(m.grants.bits());
  return out;
}

LockMark sign_record(const crypto::Key& seed, const crypto::Hash& lock, const NetworkInfo& network, Member member,
                     std::uint64_t sequence) {
  member.lock = {sequence, {}, {}};
  member.lock.record = crypto::sign(seed, locked_record_message(lock, network, member));
  if (member.grants.any()) member.lock.grants = crypto::sign(seed, locked_grants_message(lock, member));
  return member.lock;
}

bool is_record_signed(const LockChain& chain, const NetworkInfo& network, const Member& member) {
  return member.lock.sequence != 0 &&
         any_signed(chain.signers(), locked_record_message(chain.id(), network, member), member.lock.record);
}

bool are_grants_signed(const LockChain& chain, const Member& member) {
  if (!member.grants.any()) return true;
  return member.lock.sequence != 0 &&
         any_signed(chain.signers(), locked_grants_message(chain.id(), member), member.lock.grants);
}

std::string lock_id_text(const crypto::Hash& id) {
  return to_base32(ByteView(id).first(16));
}

std::string signer_text(const PublicKey& signer) {
  return std::string(kSigner) + to_base32(signer.bytes);
}

std::optional<PublicKey> parse_signer(std::string_view text) {
  const auto raw = parse_text<32>(kSigner, text);
  return raw ? std::optional(PublicKey{*raw}) : std::nullopt;
}

std::string secret_text(const LockSecret& secret) {
  return std::string(kSecret) + to_base32(secret);
}

std::optional<LockSecret> parse_secret(std::string_view text) {
  return parse_text<16>(kSecret, text);
}

Bytes encode_chain(const LockChain& chain) {
  Bytes out;
  Writer w(out);
  for (const Bytes& entry : chain.entries()) {
    w.u16(static_cast<std::uint16_t>(entry.size()));
    w.bytes(entry);
  }
  return out;
}

Result<LockChain> decode_chain(const NetworkId& network, ByteView bytes) {
  LockChain out;
  Reader r(bytes);
  while (r.remaining() > 0) {
    const ByteView entry = r.bytes(r.u16());
    if (!r.ok()) return corrupt("is cut short");
    if (auto ok = out.append(network, entry); !ok) return ok.error();
  }
  return out;
}

Bytes encode_mark(const LockMark& mark) {
  Bytes out;
  Writer w(out);
  w.u64(mark.sequence);
  w.bytes(mark.record);
  w.bytes(mark.grants);
  return out;
}

std::optional<LockMark> decode_mark(ByteView bytes) {
  if (bytes.size() != kMarkSize) return std::nullopt;
  Reader r(bytes);
  LockMark out;
  out.sequence = r.u64();
  out.record = r.array<64>();
  out.grants = r.array<64>();
  return out;
}

}  // namespace eps::registry
