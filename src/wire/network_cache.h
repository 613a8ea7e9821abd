// SPDX-License-Identifier: MIT
#pragma once

// The form in which a client keeps its network in a file. What decode_network_cache() returns keeps the limits of
// base/limits.h; whether the server signed it is checked by control/cache_file.h.

#include "base/bytes.h"
#include "base/result.h"
#include "model/network.h"

namespace eps::wire {

Bytes encode(const NetworkCache& cache);
// Errc::corrupt for what breaks a limit or does not parse, Errc::unsupported for the format of a later version.
Result<NetworkCache> decode_network_cache(ByteView bytes);

}  // namespace eps::wire
