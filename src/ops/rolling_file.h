// SPDX-License-Identifier: MIT
#pragma once

// A log file that is rolled by size, with a bounded number kept (see log.h for the names). Not thread-safe.
//
// Several processes may write to one path: each entry is one append, and a process that finds the file rolled by
// another one (or removed) opens the new one.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::ops {

class RollingFile {
 public:
  static Result<RollingFile> open(const std::string& path, std::size_t max_size, std::size_t max_files);
  RollingFile(RollingFile&& other) noexcept;
  RollingFile& operator=(RollingFile&& other) = delete;
  ~RollingFile();

  // False when the entry could not be written, for example because the disk is full.
  bool append(std::string_view entry);
  // Why the entries still go to a file that was moved away, as a sentence; "": they do not.
  const std::string& astray() const { return astray_; }

 private:
  RollingFile(const std::string& path, std::size_t max_size, std::size_t max_files);
  // Whether `path` is the link that each log has under its own name.
  static bool is_own_link(const std::string& path);
  std::string numbered(std::size_t number) const;
  Result<void> open_active();
  void roll();
  void follow(std::size_t entry_size);

  std::string path_;
  std::string stem_, extension_;  // "/var/log/eps_server" and ".log"
  std::size_t max_size_, max_files_;
  bool plain_ = false;  // no regular file (a terminal, /dev/null): never rolled
  int fd_ = -1;
  std::string astray_;
};

}  // namespace eps::ops
