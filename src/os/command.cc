// SPDX-License-Identifier: MIT
#include "os/command.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "os/sys_error.h"
#include "os/unique_fd.h"

namespace eps::os {
namespace {

using std::chrono::steady_clock;

// Attributes of a child. posix_spawn rather than fork: none of our code runs in the child, whatever other threads hold.
struct Manner {
  Manner() {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGTERM}) sigaddset(&usual, number);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Manner() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  Manner(const Manner&) = delete;
  Manner& operator=(const Manner&) = delete;

  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
};

// exited: it ended by itself, however.
CommandEnd::How wait_for(int process, std::chrono::milliseconds patience, int cancel) {
  const auto end = steady_clock::now() + patience;
  std::array<pollfd, 2> watched{{{process, POLLIN, 0}, {cancel, POLLIN, 0}}};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - steady_clock::now()).count();
    const int ready = ::poll(watched.data(), watched.size(), static_cast<int>(std::max<decltype(left)>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (watched[0].revents != 0) return CommandEnd::How::exited;
    return watched[1].revents != 0 ? CommandEnd::How::cancelled : CommandEnd::How::timed_out;
  }
}

}  // namespace

Result<CommandEnd> run_command(const std::string& command, const std::vector<std::string>& environment,
                               std::chrono::milliseconds patience, int cancel) {
  // posix_spawn changes none of them.
  const auto text = [](const std::string& s) { return const_cast<char*>(s.c_str()); };
  const std::string shell = "/bin/sh", option = "-c";
  const std::array<char*, 4> arguments = {text(shell), text(option), text(command), nullptr};
  std::vector<char*> variables;
  for (const std::string& variable : environment) variables.push_back(text(variable));
  variables.push_back(nullptr);

  const Manner manner;
  pid_t child = 0;
  if (const int error =
          ::posix_spawn(&child, shell.c_str(), &manner.files, &manner.attributes, arguments.data(), variables.data());
      error != 0) {
    return sys_error("cannot start " + shell, error);
  }
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  const int unwatched = process ? 0 : errno;
  CommandEnd end{process ? wait_for(process.get(), patience, cancel) : CommandEnd::How::timed_out, 0};
  if (end.how != CommandEnd::How::exited) ::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (unwatched != 0) return sys_error("cannot watch " + shell, unwatched);
  if (end.how == CommandEnd::How::exited) {
    if (WIFSIGNALED(status)) return CommandEnd{CommandEnd::How::signalled, WTERMSIG(status)};
    end.code = WEXITSTATUS(status);
  }
  return end;
}

}  // namespace eps::os
