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
  std::string state{};                 // directory that it writes to, with all that is below
  std::vector<std::string> outputs{};  // files that it writes or replaces; "" for none
  std::vector<std::string> later{};    // likewise, but it is not known yet whether it will
  std::vector<std::string> sockets{};  // that it removes at the end
  std::vector<std::string> inputs{};   // files that it rereads itself; all of them may be missing
  std::string user{};                  // to become where root is not needed; "" or no such user: root stays root
};

struct Kept {
  std::string user;       // as which the process runs now; "": unchanged
  std::string stays;      // why root stays root although there is that user; "": it does not
  std::string closed;     // the first of those files that root may not use by its mode; "": none
  std::string all_files;  // why not only those files can be used; ""
  std::string all_calls;  // why every system call can be made; ""
};

// Drops everything else for good, in this thread and in those that it starts from here on: root's identity where those
// files are usable without it; the other capabilities, including those of programs (bounding set, no_new_privs); access
// of others to its memory (it is not dumpable); other files and system calls (os/sandbox.h). If one of those files is
// not root's and root stays root, CAP_DAC_OVERRIDE and CAP_CHOWN stay for it. What root has made in the state directory
// of the user is given to that user.
Kept keep_only(const Needs& needs);

}  // namespace eps::os
