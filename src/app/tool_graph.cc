// SPDX-License-Identifier: MIT
#include "app/tool_graph.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "app/command_line.h"
#include "os/output_file.h"
#include "os/unique_fd.h"

extern char** environ;

namespace eps::app {
namespace {

// The engine that keeps large networks readable.
constexpr const char* kEngine = "neato";
constexpr unsigned kPictureMode = 0644;

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

// Starts the program with `input` as its standard input and waits for its end: whether it took all of it and succeeded.
// Its standard output goes to the descriptor `output`. Errc::not_found if it is not installed.
Result<bool> feed(std::vector<std::string> command, std::string_view input, int output = STDOUT_FILENO) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return make_error(Errc::exhausted, "cannot make a pipe", errno);
  os::UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, read_end.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, command.front().c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return make_error(error == ENOENT ? Errc::not_found : Errc::unavailable,
                      "cannot start " + command.front() + ": " + std::strerror(error), error);
  }
  read_end = {};
  // If the program ends early, this one must not.
  std::signal(SIGPIPE, SIG_IGN);
  const bool whole = write_all(write_end.get(), input);
  write_end = {};
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

// Graphviz itself neither says that its output could not be written nor leaves the old picture then.
Result<void> draw(const std::string& dot, const std::string& form, const std::string& file) {
  const os::UniqueFd picture(::memfd_create("picture", MFD_CLOEXEC));
  if (!picture) return make_error(Errc::exhausted, "no memory for the picture", errno);
  const auto drawn = feed({kEngine, "-T" + form}, dot, picture.get());
  if (!drawn && drawn.error().code == Errc::not_found) {
    return make_error(
        Errc::not_found,
        "Graphviz is not installed: install the package graphviz, or render the output of \"eps graph\" on a "
        "computer that has it");
  }
  if (!drawn) return drawn.error();
  if (!*drawn)
    return make_error(Errc::unavailable, "Graphviz could not draw " + quotable(file) + "; its output is above");
  const off_t size = ::lseek(picture.get(), 0, SEEK_END);
  std::string content(size > 0 ? static_cast<std::size_t>(size) : 0, '\0');
  if (::pread(picture.get(), content.data(), content.size(), 0) != size) {
    return make_error(Errc::unavailable, "cannot read what Graphviz drew", errno);
  }
  return os::write_output(file, content, kPictureMode);
}

// With the colours, because most readers want dark on light whatever the terminal has. As input, because everybody can
// see arguments.
Result<void> print_qr(const std::string& text) {
  const auto printed = feed({"qrencode", "-t", "ANSIUTF8", "-m", "2", "-o", "-"}, text);
  if (!printed && printed.error().code == Errc::not_found) {
    return make_error(Errc::not_found, "qrencode is not installed: install the package qrencode");
  }
  if (!printed) return printed.error();
  if (*printed) return {};
  return make_error(Errc::unavailable, "qrencode could not make the QR code; its output is above");
}

}  // namespace eps::app
