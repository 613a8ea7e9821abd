// SPDX-License-Identifier: MIT
#pragma once

namespace eps::os {

// Lets the process hand freed memory back to the system. By itself glibc learns from each large block that it frees to
// keep larger ones (mallopt(3), M_MMAP_THRESHOLD), so that a server holds for ever what a thousand members that come at
// once took for a moment. Before the first thread starts.
void return_freed_memory();

}  // namespace eps::os
