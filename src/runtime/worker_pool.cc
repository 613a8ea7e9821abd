// SPDX-License-Identifier: MIT
#include "runtime/worker_pool.h"

#include <algorithm>

namespace eps::runtime {

std::size_t worker_count(std::uint16_t wish) {
  if (wish > 0) return wish;
  return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 1, 8);
}

}  // namespace eps::runtime
