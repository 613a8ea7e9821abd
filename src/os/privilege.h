// SPDX-License-Identifier: MIT
#pragma once

// The privileges of the daemons.

#include <string>
#include <vector>

#include "base/result.h"

namespace eps::os {

// CAP_NET_ADMIN in the process's effective set: to create and configure the interface.
bool has_net_admin();
// Errc::permission with the sentence for the user where it is missing.
Result<void> require_net_admin();

// Drops CAP_NET_ADMIN and CAP_NET_BIND_SERVICE for good, in this thread and in those that it starts from here on.
void drop_network_capabilities();

// What a daemon needs from here on, with all its sockets open.
struct Needs {
  bool net_admin = false;
  bool runs_commands = false;        // of the user: root's may do what root may
  std::string state{};               // directory that it writes to, with all that is below
  std::vector<std::string> files{};  // that it writes or replaces; "" for none
  std::vector<std::string> reads{};  // files that it rereads; all of them may be missing
};

// Drops everything else for good, in this thread and in those that it starts from here on: the other capabilities,
// including those of programs that it would start (bounding set, no_new_privs), and access of others to its memory (it
// is not dumpable). If one of those files does not belong to root, root keeps CAP_DAC_OVERRIDE and CAP_CHOWN for it:
// the result is the first such name, "" if there is none.
std::string keep_only(const Needs& needs);

}  // namespace eps::os
