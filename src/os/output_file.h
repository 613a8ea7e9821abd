// SPDX-License-Identifier: MIT
#pragma once

// Files that an administrator names: logs, scorecards, pictures. A regular file is replaced or appended to, a link is
// followed, and a device, FIFO or terminal is written to and left in place.
//
// In a directory that others can write to, such as /tmp, a name may be a trap: a link to /etc/shadow, or a FIFO without
// a reader. There, only files made by root or by the user of this process are used.

#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::os {

struct OutputPlace {
  std::string path;      // links followed
  bool special = false;  // something other than a regular file is there
};
// Errc::permission: another user has put a link, a FIFO or a device there. A link for which `is_end` is true is not
// followed: that is the place.
Result<OutputPlace> find_output(const std::string& path, bool (*is_end)(const std::string& link) = nullptr);

// Whether an open regular file belongs to a user we trust with it: root, the user of this process, or the owner of a
// directory that nobody else can write to. It must also have no second name, which might be /etc/shadow.
bool is_own_file(int fd, const std::string& path);

// Opens something other than a regular file for appending, without waiting for a reader and without acquiring a
// controlling terminal. -1 and errno: ENXIO for a FIFO without a reader.
int open_special(const std::string& path);

// Writes the whole content: atomically where there is a regular file or none, with `mode` then. A FIFO that has no
// reader, or no room, takes nothing: Errc::unavailable.
Result<void> write_output(const std::string& path, std::string_view content, unsigned mode);

}  // namespace eps::os
