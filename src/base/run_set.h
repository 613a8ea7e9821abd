// SPDX-License-Identifier: MIT
#pragma once

// A set of numbers, kept as runs of consecutive ones: no operation grows with the numbers, only with the runs.

#include <cstdint>
#include <iterator>
#include <map>

namespace eps {

class RunSet {
 public:
  // Begin -> end; they do not touch.
  const std::map<std::uint32_t, std::uint32_t>& runs() const { return runs_; }
  bool contains(std::uint32_t n) const {
    const auto it = runs_.upper_bound(n);
    return it != runs_.begin() && n < std::prev(it)->second;
  }
  // REQUIRES: begin < end, and none of them is in the set, nor a neighbour.
  void add_run(std::uint32_t begin, std::uint32_t end) { runs_.emplace(begin, end); }
  void add(std::uint32_t n) {
    if (contains(n)) return;
    auto next = runs_.upper_bound(n);
    std::uint32_t end = n + 1;
    if (next != runs_.end() && next->first == end) {
      end = next->second;
      next = runs_.erase(next);
    }
    if (next != runs_.begin() && std::prev(next)->second == n) {
      std::prev(next)->second = end;
    } else {
      runs_.emplace(n, end);
    }
  }
  void remove(std::uint32_t n) {
    if (!contains(n)) return;
    const auto it = std::prev(runs_.upper_bound(n));
    const std::uint32_t end = it->second;
    it->second = n;
    if (it->second == it->first) runs_.erase(it);
    if (n + 1 < end) runs_.emplace(n + 1, end);
  }

 private:
  std::map<std::uint32_t, std::uint32_t> runs_;
};

}  // namespace eps
