// SPDX-License-Identifier: MIT
#pragma once

// What the kernel irrevocably refuses to this program, under any user: files by Landlock (Linux 5.13), system calls by
// a seccomp filter. Both hold for the calling thread and for those that it starts from here on.

#include <string>
#include <vector>

#include "base/result.h"

namespace eps::os {

struct Reach {
  std::vector<std::string> trees;    // directories: everything in and below them
  std::vector<std::string> outputs;  // files that are written, replaced and rolled, and thus all in their directories
  std::vector<std::string> sockets;  // UNIX sockets that are removed at the end
  std::vector<std::string> inputs;   // files that are read, and thus all in their directories
};

// Besides `reach`: what the C library reads to resolve names and the programs to look at the kernel (/etc, /usr, /proc,
// /sys), and /dev/net/tun. No program can be executed. "" or why files are not restricted. REQUIRES: no_new_privs or
// CAP_SYS_ADMIN.
std::string restrict_files(const Reach& reach);

// A system call that the daemons do not need fails with ENOSYS: an allowlist, part of the @system-service of systemd
// that the units have; besides other refusals of the units. "" or why not. REQUIRES: as above.
std::string restrict_system_calls();

// Whether restrict_files() has restricted this program.
bool files_are_restricted();

// False in a build with a sanitizer, whose run time needs more, and under which neither does anything.
bool can_be_restricted();

}  // namespace eps::os
