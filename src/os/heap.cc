// SPDX-License-Identifier: MIT
#include "os/heap.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

namespace eps::os {
namespace {

// Resident bytes that are no file's (proc(5), statm); 0 where /proc does not tell.
std::size_t own_memory() {
  std::size_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return (resident - std::min(shared, resident)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void return_freed_memory() {
  // What is larger, as the messages that wait for a member, is mapped by itself and unmapped when it is freed.
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

void HeapTrimmer::look(Instant now) {
  constexpr auto kEvery = std::chrono::seconds(3);
  constexpr std::size_t kWorthIt = 4 << 20;
  if (now < next_look_) return;
  next_look_ = now + kEvery;
  const std::size_t held = own_memory();
  if (held > kept_ + kept_ / 4 + kWorthIt) {
    ::malloc_trim(0);
    kept_ = own_memory();
  } else {
    kept_ = std::min(kept_, held);
  }
}

}  // namespace eps::os
