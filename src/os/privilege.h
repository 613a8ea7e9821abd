#pragma once

// The privileges of the daemons.

#include "base/result.h"

namespace eps::os {

// CAP_NET_ADMIN in the process's effective set: to create and configure the interface.
bool has_net_admin();
// Errc::permission with the sentence for the user where it is missing.
Result<void> require_net_admin();

// Gives up CAP_NET_ADMIN and CAP_NET_BIND_SERVICE for good, in this thread and in those that it starts from here on.
void drop_network_capabilities();

}  // namespace eps::os
