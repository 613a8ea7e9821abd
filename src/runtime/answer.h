// SPDX-License-Identifier: MIT
#pragma once

// Answers to `eps` (ops/status_socket.h).

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace eps::runtime {

// A command's function, found by its name; null if there is none.
template <class Function>
using Named = std::pair<std::string_view, Function>;
template <class Function, std::size_t N>
Function by_name(const std::array<Named<Function>, N>& all, std::string_view name) {
  const auto found = std::ranges::find(all, name, &Named<Function>::first);
  return found == all.end() ? nullptr : found->second;
}

inline nlohmann::json refused(const std::string& why) {
  return {{"ok", false}, {"error", why}};
}
inline nlohmann::json refused(const Error& error) {
  return refused(error.what);
}

// `other`: the program that may know it.
inline nlohmann::json unknown_command(const std::string& program, const std::string& command,
                                      const std::string& other) {
  return refused(program + " does not know the command \"" + command + "\": it is one of " + other +
                 ", whose socket --socket can name, or of a newer version");
}

// Of `eps reload`.
inline nlohmann::json reload_answer(const std::string& program, const Result<std::string>& note) {
  if (!note) return refused(note.error());
  return {{"ok", true}, {"program", program}, {"note", *note}};
}

}  // namespace eps::runtime
