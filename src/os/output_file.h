#pragma once

// Files whose names an administrator gives: logs, scorecards, pictures. A regular file is replaced or appended to, a
// link is followed, and a device, FIFO or terminal is written into and left as it is.
//
// In a directory that others may write to, as /tmp, a name may be a trap: a link to /etc/shadow, a FIFO that nobody
// reads. There only what root or this process's user has made counts.

#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::os {

struct OutputPlace {
  std::string path;      // links followed
  bool special = false;  // there is something else than a regular file
};
// Errc::permission: another user has put a link, a FIFO or a device there.
Result<OutputPlace> find_output(const std::string& path);

// Whether a regular file that is open was made by somebody who may have a say in it: root, this process's user, or the
// owner of a directory that nobody else may write to. And that it has no second name, which may be /etc/shadow.
bool is_own_file(int fd, const std::string& path);

// Opens what is no regular file for appending, without waiting for a reader, and without making a terminal ours.
// -1 and errno: ENXIO where nobody reads.
int open_special(const std::string& path);

// Writes the whole content: atomically where there is a regular file or none, with `mode` then. A FIFO that has no
// reader, or no room, takes nothing: Errc::unavailable.
Result<void> write_output(const std::string& path, std::string_view content, unsigned mode);

}  // namespace eps::os
