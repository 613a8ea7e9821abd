// SPDX-License-Identifier: MIT
#include "runtime/kept_state.h"

#include <algorithm>

#include "control/cache_file.h"
#include "crypto/aead.h"
#include "runtime/psk_file.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {

// One start reserves all the handshake numbers that it can ever use, with a single durable write.
constexpr std::uint64_t kHandshakeNumbers = 1ULL << 32;
// In 2097: a wrong clock leaves room for all future starts.
constexpr std::int64_t kLatestClock = 0xf000'0000;

std::vector<crypto::AeadKind> offered_aeads(const std::string& choice) {
  if (const auto kind = crypto::parse_aead_kind(choice)) return {*kind};
  return crypto::preferred_kinds();
}

Result<crypto::KeyPair> load_identity(os::ClientState& state, Rng& rng) {
  auto stored = state.load_identity();
  if (!stored) return stored.error();
  if (*stored) {
    crypto::Key secret{std::span<const std::byte, 32>(**stored)};
    crypto::wipe(**stored);
    return crypto::key_pair_from_secret(std::move(secret));
  }
  crypto::KeyPair fresh = crypto::generate_key_pair(rng);
  if (auto saved = state.save_identity(fresh.secret.view()); !saved) return saved.error();
  return fresh;
}

}  // namespace

Result<node::ClientParams> load_params(const ClientSettings& settings, control::NetworkKey key, os::ClientState& state,
                                       Rng& rng, ops::Log& log) {
  auto identity = load_identity(state, rng);
  if (!identity) return identity.error();
  // One second suffices for a start, and for all its numbers.
  const auto seconds = std::clamp<std::int64_t>(unix_time(), 0, kLatestClock);
  auto numbers = state.reserve_handshake_numbers(kHandshakeNumbers, static_cast<std::uint64_t>(seconds) << 32);
  if (!numbers) return numbers.error();
  if (numbers->unkept) {
    log.warn(numbers->unkept->what + "; this client starts from the stored state, and nothing new is saved.");
  }
  auto enrolment = state.load_enrolment();
  if (!enrolment) return enrolment.error();

  node::ClientParams params;
  if (!settings.psk_file.empty()) {
    auto psks = read_psk(settings.psk_file, settings.psk_copy);
    if (!psks) return psks.error();
    const std::size_t single = psks->of_single_peers();
    if (psks->of_all()) log.info("Peers must have the pre-shared key of " + settings.psk_file + ".");
    if (single > 0) {
      log.info(std::to_string(single) +
               (single == 1 ? " peer has a pre-shared key of its own" : " peers have pre-shared keys of their own") +
               " in " + settings.psk_file + ".");
    }
    params.peers.psks = std::move(*psks);
    if (settings.psk_copy.empty() && others_may_read(settings.psk_file)) {
      log.warn("Others on this computer may read " + settings.psk_file + "; chmod 600 " + settings.psk_file + ".");
    }
  }
  params.peers.self = std::move(*identity);
  params.peers.copy_dscp = settings.copy_dscp;
  params.peers.aeads = offered_aeads(settings.aead);
  params.peers.relay_for_others = settings.relay;
  params.peers.relay_limit = settings.relay_limit;
  params.peers.first_handshake_number = numbers->first;
  params.key = std::move(key);
  params.name = settings.name;
  params.version = settings.version;
  params.accepted = settings.accepted;
  params.unix_time = unix_time;
  params.enrolled = *enrolment == params.key.server;
  return params;
}

std::optional<NetworkCache> load_network(os::ClientState& state, ops::Log& log) {
  auto content = state.load_network(control::kMaxCacheFile);
  if (!content) log.warn(content.error().what + "; the network is unknown until the server answers.");
  if (!content || !*content) return std::nullopt;
  auto cache = control::decode_cache_file(**content);
  if (cache) return std::move(*cache);
  const auto aside = state.set_network_aside();
  log.warn("The stored state of the network cannot be used: " + cache.error().what + ". " +
           (aside ? "It was renamed to " + *aside : aside.error().what) +
           "; the network is unknown until the server answers.");
  return std::nullopt;
}

node::KnownPeers load_known(os::ClientState& state, const PublicKey& server, ops::Log& log) {
  constexpr const char* kAnew = "; the keys that peers have now count as the known ones.";
  const auto text = state.load_known(node::kMaxKnownFile);
  if (!text) log.warn(text.error().what + kAnew);
  if (!text || !*text) return {};
  auto known = node::KnownPeers::decode(**text, server);
  if (known) return std::move(*known);
  const auto aside = state.set_known_aside();
  log.warn("The known peers of this computer cannot be read: " + known.error().what + ". " +
           (aside ? "The file was renamed to " + *aside : aside.error().what) + kAnew);
  return {};
}

Result<node::LockGuard> load_lock(os::ClientState& state, const PublicKey& server) {
  const auto text = state.load_network_lock(node::kMaxLockFile);
  if (!text) return text.error();
  if (!*text) return node::LockGuard();
  auto lock = node::LockGuard::decode(**text, server);
  if (lock) return lock;
  return make_error(Errc::corrupt, state.network_lock_path() + " cannot be read: " + lock.error().what +
                                       ". Restore it from a backup. Without the file this computer does not know any "
                                       "more that its network is locked: remove it only if you trust the server.");
}

bool Keeper::write() {
  std::string failure;
  const auto attempt = [&failure](auto& waiting, const auto& save) {
    if (!waiting) return;
    if (const auto saved = save(*waiting); saved) {
      waiting.reset();
    } else if (failure.empty()) {
      failure = saved.error().what;
    }
  };
  attempt(enrolment_, [this](const PublicKey& server) { return state_.save_enrolment(server); });
  attempt(lock_, [this](const std::string& text) { return state_.save_network_lock(text); });
  attempt(known_, [this](const std::string& text) { return state_.save_known(text); });
  attempt(network_, [this](const Bytes& content) {
    return content.empty() ? state_.remove_network() : state_.save_network(content);
  });
  if (failure != failure_) {
    failure.empty() ? log_.info("The state folder can be written again; everything is saved.") : log_.warn(failure);
  }
  failure_ = failure;
  return failure.empty();
}

}  // namespace eps::runtime
