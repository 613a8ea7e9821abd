// SPDX-License-Identifier: MIT
#pragma once

// Counts the pages of memory that a piece of code reads or writes: a look at each of many objects touches the pages of
// all of them. The processor marks the pages, so the count does not depend on the machine's load (Linux, proc(5):
// clear_refs, smaps).

#include <sys/prctl.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace eps::test {

namespace detail {
// Marked pages of memory that is no file's: others' use of a file counts as well.
inline std::optional<std::uint64_t> marked_pages() {
  std::ifstream maps("/proc/self/smaps");
  std::optional<std::uint64_t> out;
  bool file = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string first, skipped;
    words >> first;
    if (first.find('-') != std::string::npos && first.back() != ':') {
      std::uint64_t inode = 0;
      words >> skipped >> skipped >> skipped >> inode;
      file = inode != 0;
    } else if (first == "Referenced:" && !file) {
      std::uint64_t kilobytes = 0;
      words >> kilobytes;
      out = out.value_or(0) + kilobytes / 4;
    }
  }
  return out;
}
}  // namespace detail

// nullopt where the kernel does not tell, and with sanitizers, which touch pages of their own. One thread at a time.
template <class What>
std::optional<std::uint64_t> count_pages(What&& what) {
  (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);  // a huge page counts as one
  const auto clear = [](const char* which) {
    return (std::ofstream("/proc/self/clear_refs") << which << std::flush).good();
  };
  // The second makes the processor forget as well which pages it has marked.
  const bool cleared = clear("1") && clear("4");
  what();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return std::nullopt;
#endif
  return cleared ? detail::marked_pages() : std::nullopt;
}

}  // namespace eps::test
