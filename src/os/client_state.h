// SPDX-License-Identifier: MIT
#pragma once

// The state that a client keeps across restarts, in its own directory: its identity, the handshake numbers that it has
// used, the server that it is enrolled with, and the other members.
//
//   identity   the X25519 secret key, base32, mode 0600
//   counter    the first handshake number that was never reserved, decimal
//   enrolled   the server's public key, base32
//   network    what it knows of the network, to go on without the server; control/cache_file.h
//   known      whose keys it has seen; node/known_peers.h
//   network-lock  the network lock that it has seen; node/lock_guard.h
//   lock       held while a client runs

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "os/unique_fd.h"

namespace eps::os {

class ClientState {
 public:
  using SecretBytes = std::array<std::byte, 32>;  // the holder wipes it

  // Makes the directory (0700) where it is missing and locks it: Errc::in_use while another client uses it.
  static Result<ClientState> open(const std::string& directory);

  // The secret key; nullopt before save_identity(). Errc::corrupt for a file that does not hold one, or that is gone
  // while others show that there was one: a new identity in its place would lose the enrolment, so that is for the user
  // to decide.
  Result<std::optional<SecretBytes>> load_identity() const;
  Result<void> save_identity(std::span<const std::byte, 32> secret);

  // The first of `count` consecutive numbers that no call has returned before, even across crashes. Starts at 1, or at
  // `floor` if that is greater: a number based on the clock is new even if the stored one is lost, empty or from an old
  // backup. If nothing can be written, only the clock makes the numbers new, and `unkept` gives the reason: within one
  // block's time, or while the clock is behind the stored number, they repeat those of the last start, and peers
  // refuse them until a higher one comes.
  struct Numbers {
    std::uint64_t first = 1;
    std::optional<Error> unkept;
  };
  Result<Numbers> reserve_handshake_numbers(std::uint64_t count, std::uint64_t floor = 0);

  // The server with which this client is enrolled; nullopt also if the file is empty, as after a power failure: the
  // server knows us by our key.
  Result<std::optional<PublicKey>> load_enrolment() const;
  Result<void> save_enrolment(const PublicKey& server);

  // The file as it is; nullopt where there is none.
  Result<std::optional<Bytes>> load_network(std::size_t max) const;
  Result<void> save_network(ByteView content);
  Result<void> remove_network();
  // Renames what cannot be used, and returns its new path.
  Result<std::string> set_network_aside();

  // The same for the peers that it knows.
  Result<std::optional<std::string>> load_known(std::size_t max) const;
  Result<void> save_known(std::string_view text);
  Result<std::string> set_known_aside();

  // And for the network lock.
  std::string network_lock_path() const { return directory_ + "/network-lock"; }
  Result<std::optional<std::string>> load_network_lock(std::size_t max) const;
  Result<void> save_network_lock(std::string_view text);

 private:
  std::string network_path() const { return directory_ + "/network"; }
  std::string known_path() const { return directory_ + "/known"; }
  ClientState(std::string directory, UniqueFd lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}

  std::string directory_;
  UniqueFd lock_;
};

}  // namespace eps::os
