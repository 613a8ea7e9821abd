// SPDX-License-Identifier: MIT
#include "os/client_state.h"

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <limits>
#include <string_view>

#include "os/files.h"
#include "os/sys_error.h"

namespace eps::os {
namespace {

constexpr std::size_t kMaxFile = 1024;  // each holds a comment line and less than 100 bytes

// The one line that is neither empty nor a comment.
std::string_view only_line(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (!line.empty() && line.front() != '#') return line;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {};
}

template <class Container>
void wipe(Container& c) {
  if (!c.empty()) ::explicit_bzero(c.data(), c.size());
}

// A file that holds 32 bytes; every copy made on the way is wiped, as the identity comes through here too.
Result<std::optional<std::array<std::byte, 32>>> load_key(const std::string& path, const std::string& remedy) {
  Result<std::string> text = read_file(path, kMaxFile);
  if (!text) {
    if (text.error().code == Errc::not_found) return std::optional<std::array<std::byte, 32>>();
    return text.error();
  }
  std::optional<Bytes> raw = from_base32(only_line(*text));
  wipe(*text);
  if (!raw || raw->size() != 32) {
    if (raw) wipe(*raw);
    return make_error(Errc::corrupt, path + " does not hold a key; " + remedy);
  }
  std::optional<std::array<std::byte, 32>> key(std::in_place);
  std::copy(raw->begin(), raw->end(), key->begin());
  wipe(*raw);
  return key;
}

Result<void> save_key(const std::string& path, std::string_view comment, ByteView key) {
  std::string encoded = to_base32(key);
  std::string text;
  text.reserve(kMaxFile);  // no copies left behind by growing
  text.append(comment).append(encoded).append("\n");
  Result<void> saved = write_file_atomic(path, text, 0600);
  wipe(encoded);
  wipe(text);
  return saved;
}

// Renames what cannot be used.
Result<std::string> set_aside(const std::string& path) {
  const std::string aside = path + ".unusable";
  if (::rename(path.c_str(), aside.c_str()) != 0) return sys_error("cannot rename " + path, errno);
  return aside;
}

}  // namespace

Result<ClientState> ClientState::open(const std::string& directory) {
  if (Result<void> made = create_private_directory(directory); !made) return made.error();
  Result<UniqueFd> lock = lock_file(directory + "/lock", "another eps-client uses the state directory " + directory,
                                    "stop it, or give this one a directory of its own with --state");
  if (!lock) return lock.error();
  return ClientState(directory, std::move(*lock));
}

Result<std::optional<ClientState::SecretBytes>> ClientState::load_identity() const {
  const std::string path = directory_ + "/identity";
  const std::string remedy = "restore it from a backup, or remove " + directory_ + " to enrol anew as another client";
  auto key = load_key(path, remedy);
  if (!key || *key) return key;
  for (const char* other : {"/enrolled", "/counter", "/network", "/known", "/network-lock"}) {
    if (::access((directory_ + other).c_str(), F_OK) != 0) continue;
    return make_error(Errc::corrupt, path + " is gone, but " + directory_ + other +
                                         " shows that this client had an identity; " + remedy);
  }
  return key;
}

Result<void> ClientState::save_identity(std::span<const std::byte, 32> secret) {
  return save_key(directory_ + "/identity",
                  "# The secret key of this EPS client: whoever has it can join as this client.\n", secret);
}

Result<ClientState::Numbers> ClientState::reserve_handshake_numbers(std::uint64_t count, std::uint64_t floor) {
  const std::string path = directory_ + "/counter";
  std::uint64_t first = 1;
  Result<std::string> text = read_file(path, kMaxFile);
  if (text && (floor == 0 || text->find_first_not_of(std::string_view("\0\n ", 3)) != std::string::npos)) {
    const std::string_view line = only_line(*text);
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), first);
    if (error != std::errc() || end != line.data() + line.size() || first == 0) {
      return make_error(Errc::corrupt, path + " does not hold a number; restore it from a backup, or remove " +
                                           directory_ + " to enrol anew as another client");
    }
  } else if (!text && text.error().code != Errc::not_found) {
    return text.error();
  }
  first = std::max(first, floor);
  if (count > std::numeric_limits<std::uint64_t>::max() - first) {
    return make_error(Errc::exhausted, "the handshake numbers in " + path + " are used up; remove " + directory_ +
                                           " to enrol anew as another client");
  }
  const std::string next = "# The next handshake number of this EPS client; peers refuse a lower one.\n" +
                           std::to_string(first + count) + "\n";
  // Durable before the first is used: after a crash the rest of the block is skipped, never reused.
  if (Result<void> saved = write_file_atomic(path, next, 0600); !saved) {
    if (!is_unwritable(saved.error()) || floor == 0) return saved.error();
    return Numbers{first, saved.error()};
  }
  return Numbers{first, std::nullopt};
}

Result<std::optional<PublicKey>> ClientState::load_enrolment() const {
  const std::string path = directory_ + "/enrolled";
  Result<std::optional<SecretBytes>> key = load_key(path, "remove it to enrol anew");
  if (!key && key.error().code == Errc::corrupt) return std::optional<PublicKey>();
  if (!key) return key.error();
  if (!*key) return std::optional<PublicKey>();
  return std::optional<PublicKey>(PublicKey{**key});
}

Result<void> ClientState::save_enrolment(const PublicKey& server) {
  return save_key(directory_ + "/enrolled", "# The public key of the EPS server with which this client is enrolled.\n",
                  server.bytes);
}

Result<std::optional<Bytes>> ClientState::load_network(std::size_t max) const {
  const Result<std::string> content = read_file(network_path(), max);
  if (content) return std::optional<Bytes>(Bytes(as_view(*content).begin(), as_view(*content).end()));
  if (content.error().code == Errc::not_found) return std::optional<Bytes>();
  return content.error();
}

Result<void> ClientState::save_network(ByteView content) {
  return write_file_atomic(network_path(), as_text(content), 0600);
}

Result<void> ClientState::remove_network() {
  if (::unlink(network_path().c_str()) == 0) return sync_directory(directory_);
  if (errno == ENOENT) return {};
  return sys_error("cannot remove " + network_path(), errno);
}

Result<std::string> ClientState::set_network_aside() {
  return set_aside(network_path());
}

namespace {
Result<std::optional<std::string>> load_text(const std::string& path, std::size_t max) {
  Result<std::string> text = read_file(path, max);
  if (text) return std::optional(std::move(*text));
  if (text.error().code == Errc::not_found) return std::optional<std::string>();
  return text.error();
}
}  // namespace

Result<std::optional<std::string>> ClientState::load_known(std::size_t max) const {
  return load_text(known_path(), max);
}

Result<std::optional<std::string>> ClientState::load_network_lock(std::size_t max) const {
  return load_text(network_lock_path(), max);
}

Result<void> ClientState::save_network_lock(std::string_view text) {
  return write_file_atomic(network_lock_path(), text, 0600);
}

Result<void> ClientState::save_known(std::string_view text) {
  return write_file_atomic(known_path(), text, 0600);
}

Result<std::string> ClientState::set_known_aside() {
  return set_aside(known_path());
}

}  // namespace eps::os
