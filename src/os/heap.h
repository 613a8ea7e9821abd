// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "base/time.h"

namespace eps::os {

// Lets the process hand freed memory back to the system. By itself glibc learns from each large block that it frees to
// keep larger ones (mallopt(3), M_MMAP_THRESHOLD), so that a server holds for ever what a thousand members that come at
// once took for a moment. Before the first thread starts.
void return_freed_memory();

// Hands back the pages between blocks that are still in use, too, which glibc keeps: after a burst of joins they are
// two thirds of a server's memory. For one thread.
class HeapTrimmer {
 public:
  // To be called often; looks every few seconds. Trims, some 10 ms for 100 MB, when 4 MiB and a quarter of what is in
  // use are resident without being used, and a quarter more than the last trim left.
  void look(Instant now);

 private:
  Instant next_look_{};
  std::size_t loose_ = 0;  // resident bytes not in use after the last trim, or less since
};

}  // namespace eps::os
