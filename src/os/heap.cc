// SPDX-License-Identifier: MIT
#include "os/heap.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

namespace eps::os {
namespace {

struct Memory {
  std::size_t used = 0;   // bytes of blocks in use
  std::size_t loose = 0;  // other resident bytes that are no file's
};

// No loose ones where /proc does not tell, and nothing but loose ones under a sanitizer, whose heap tells nothing.
Memory own_memory() {
  std::size_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;  // proc(5)
  const std::size_t held = (resident - std::min(shared, resident)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto heap = ::mallinfo2();
  const std::size_t used = heap.uordblks + heap.hblkhd;
  return {used, held - std::min(used, held)};
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
  const Memory before = own_memory();
  if (before.loose <= loose_ + loose_ / 4 + before.used / 4 + kWorthIt) {
    loose_ = std::min(loose_, before.loose);
  } else {
    ::malloc_trim(0);
    loose_ = own_memory().loose;
  }
}

}  // namespace eps::os
