#include <algorithm>
#include <map>

#include "control/server.h"

namespace eps::control {

static_assert(registry::kMaxTombstones <= wire::kMaxRemovedPerDelta);

void Server::push(Outputs& out, Instant now) {
  if (registry_.version() == pushed_version_ && now < push_at_) return;
  pushed_version_ = registry_.version();
  push_at_ = kNever;
  // Nearly everybody holds the same version: what changed since is put together once.
  std::map<std::uint64_t, std::vector<Bytes>> encoded;
  for (auto& [id, c] : connections_) {
    if (!c.authenticated() || c.ending || (!c.push_whole && c.list_version == pushed_version_)) continue;
    if (now < c.last_push + kPushPause) {
      push_at_ = std::min(push_at_, c.last_push + kPushPause);
      continue;
    }
    const std::uint64_t since = c.push_whole ? 0 : c.list_version;
    auto [parts, added] = encoded.try_emplace(since);
    if (added) parts->second = encode_delta(since);
    Bytes bytes;
    for (const Bytes& part : parts->second) c.channel.seal(part, bytes);
    out.to_send.emplace_back(id, std::move(bytes));
    c.list_version = pushed_version_;
    c.push_whole = false;
    c.last_push = now;
  }
}

// The parts of the delta, the last one signed.
std::vector<Bytes> Server::encode_delta(std::uint64_t since) const {
  const Delta delta = registry_.delta_since(since);
  wire::MemberDelta part;
  part.delta = {.from = delta.from, .to = delta.to, .full = delta.full, .upserts = {}, .removed = delta.removed};
  std::vector<Bytes> out;
  for (std::size_t at = 0; out.empty() || at < delta.upserts.size();) {
    const std::size_t n = std::min(wire::kMembersPerDelta, delta.upserts.size() - at);
    part.delta.upserts.assign(delta.upserts.begin() + static_cast<std::ptrdiff_t>(at),
                              delta.upserts.begin() + static_cast<std::ptrdiff_t>(at + n));
    at += n;
    part.last = at == delta.upserts.size();
    if (part.last) {
      part.digest = registry_.digest();
      part.signature = registry_.signature();
    }
    out.push_back(wire::encode(part));
    part.delta.removed.clear();
  }
  return out;
}

}  // namespace eps::control
