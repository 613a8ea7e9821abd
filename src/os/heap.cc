// SPDX-License-Identifier: MIT
#include "os/heap.h"

#include <malloc.h>

namespace eps::os {

void return_freed_memory() {
  // What is larger, as the messages that wait for a member, is mapped by itself and unmapped when it is freed.
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

}  // namespace eps::os
