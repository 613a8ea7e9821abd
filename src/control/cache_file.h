// SPDX-License-Identifier: MIT
#pragma once

// The file in which a client stores its network: a line that identifies the format, BLAKE2s-256 of the rest, the rest
// (wire/network_cache.h). The hash detects a damaged file, the server's signature a foreign list.

#include "base/bytes.h"
#include "base/result.h"
#include "model/network.h"

namespace eps::control {

// Size of the largest file: 16,384 members with 16 candidates each.
inline constexpr std::size_t kMaxCacheFile = 16 * 1024 * 1024;

Bytes encode_cache_file(const NetworkCache& cache);
// Errc::corrupt or Errc::unsupported with the reason: "it ...".
Result<NetworkCache> decode_cache_file(ByteView bytes);

}  // namespace eps::control
