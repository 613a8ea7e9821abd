// SPDX-License-Identifier: MIT
#pragma once

// Small files that must be whole or absent, private directories, and locks on them.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/unique_fd.h"

namespace eps::os {

// The whole file; Errc::not_found if there is none, Errc::exhausted if it is longer than `max` bytes. Data from a FIFO
// is awaited, but not for ever: Errc::unavailable after kFifoPatience.
inline constexpr std::chrono::milliseconds kFifoPatience{1000};
Result<std::string> read_file(const std::string& path, std::size_t max);

// Replaces the file: after success it holds `content` even if the power fails; after an error or a crash it holds its
// previous content. `mode` is exact, whatever the umask.
Result<void> write_file_atomic(const std::string& path, std::string_view content, mode_t mode);

// Makes the directory, for its owner only, and missing parents. An existing one is left as it is. Errc::permission:
// another user has put it, or something on the way to it, into a directory that anybody may write to, such as /tmp.
Result<void> create_private_directory(const std::string& path);

// Makes new or removed names in the directory durable.
Result<void> sync_directory(const std::string& path);

// Whether a write failed for lack of room, or on a read-only file system: the previous content is still there.
bool is_unwritable(const Error& error);

// Takes an exclusive lock that ends with the descriptor or the process. If another process holds it: Errc::in_use,
// worded "<what> ... <remedy>" with the id of that process. On a read-only file system, the file is locked as it is, or
// its directory.
Result<UniqueFd> lock_file(const std::string& path, std::string_view what, std::string_view remedy);

}  // namespace eps::os
