#pragma once

// The one privilege that a client needs.

#include "base/result.h"

namespace eps::os {

// CAP_NET_ADMIN in the process's effective set: to create and configure the interface.
bool has_net_admin();
// Errc::permission with the sentence for the user where it is missing.
Result<void> require_net_admin();

}  // namespace eps::os
