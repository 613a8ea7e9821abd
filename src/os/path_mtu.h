// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include "base/types.h"

namespace eps::os {

// The largest IP packet that goes to this endpoint whole, as far as the kernel knows; nullopt: no way there.
std::optional<std::uint32_t> path_mtu(const Endpoint& to);

}  // namespace eps::os
