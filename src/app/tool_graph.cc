// SPDX-License-Identifier: MIT
#include "app/tool_graph.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "app/command_line.h"
#include "os/unique_fd.h"

extern char** environ;

namespace eps::app {
namespace {

// The engine that keeps large networks readable.
constexpr const char* kEngine = "neato";

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace

Result<void> draw(const std::string& dot, const std::string& form, const std::string& file) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return make_error(Errc::exhausted, "cannot make a pipe", errno);
  os::UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, read_end.get(), STDIN_FILENO);
  std::string type = "-T" + form, output = "-o" + file, engine = kEngine;
  std::array<char*, 4> arguments = {engine.data(), type.data(), output.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, kEngine, &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    return make_error(Errc::not_found,
                      "Graphviz is not installed, which draws the picture: install the package graphviz, or take what "
                      "\"eps graph\" prints to where it is");
  }
  if (error != 0)
    return make_error(Errc::unavailable, std::string("cannot start neato: ") + std::strerror(error), error);
  read_end = {};
  // If Graphviz ends early, this program must not.
  std::signal(SIGPIPE, SIG_IGN);
  const bool whole = write_all(write_end.get(), dot);
  write_end = {};
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (whole && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return make_error(Errc::unavailable, "Graphviz could not draw " + quotable(file) + "; its output is above");
}

}  // namespace eps::app
