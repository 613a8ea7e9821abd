// SPDX-License-Identifier: MIT
#pragma once

// The routes out of this computer. Two networks may give it the same address: then only the routes differ.

#include <set>
#include <string>

#include "base/result.h"
#include "os/netlink.h"

namespace eps::os {

// The default routes of both families, and the halves of one (0.0.0.0/1) that VPNs set: each as a text that names its
// interface, gateway, metric and table, to be compared with an earlier one. Those through the interface `own` (0: none)
// are left out.
Result<std::set<std::string>> default_routes(NetlinkSocket& socket, int own);

}  // namespace eps::os
