// SPDX-License-Identifier: MIT
#include "os/helper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "os/sys_error.h"

namespace eps::os {
namespace {

// One packet; "": the other end is gone, or the packet only cancelled an answer that was given meanwhile.
std::string receive(int fd, bool& gone) {
  std::string text(kMaxHelperMessage, '\0');
  ssize_t size = 0;
  do {
    size = ::recv(fd, text.data(), text.size(), 0);
  } while (size < 0 && errno == EINTR);
  gone = size <= 0;
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

bool send_whole(int fd, std::string_view text) {
  ssize_t size = 0;
  do {
    size = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  } while (size < 0 && errno == EINTR);
  return size == static_cast<ssize_t>(text.size());
}

constexpr char kRequest = 'r', kCancel = 'c';

[[noreturn]] void serve_until_gone(int socket, const char* name, const HelperProcess::Serve& serve) {
  // Those that run_command() sets back.
  for (const int number : {SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGTERM}) std::signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  (void)::prctl(PR_SET_NAME, name);
  (void)::prctl(PR_SET_DUMPABLE, 0);
  constexpr int kOwn = STDERR_FILENO + 1;
  if (socket != kOwn && ::dup3(socket, kOwn, O_CLOEXEC) < 0) ::_exit(1);
  (void)::close_range(kOwn + 1, ~0U, 0);
  bool gone = false;
  while (!gone) {
    const std::string request = receive(kOwn, gone);
    if (!gone && request.front() == kRequest && !send_whole(kOwn, serve(std::string_view(request).substr(1), kOwn)))
      break;
  }
  ::_exit(0);
}

}  // namespace

Result<HelperProcess> HelperProcess::start(const char* name, const Serve& serve) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return sys_error("cannot make a pair of sockets", errno);
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  // Until the helper ignores them.
  sigset_t all, before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  const int error = errno;
  if (child == 0) serve_until_gone(theirs.get(), name, serve);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return sys_error("cannot start a process", error);
  return HelperProcess(std::move(ours), child);
}

HelperProcess::~HelperProcess() {
  socket_ = {};
  while (child_ > 0 && ::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::string> HelperProcess::ask(std::string_view request, int cancel) const {
  const auto ended = [] { return make_error(Errc::unavailable, "the process that does this has ended"); };
  if (!send_whole(socket_.get(), kRequest + std::string(request))) return ended();
  std::array<pollfd, 2> watched{{{socket_.get(), POLLIN, 0}, {cancel, POLLIN, 0}}};
  while (watched[0].revents == 0) {
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return ended();
    if (watched[1].revents == 0) continue;
    (void)send_whole(socket_.get(), std::string_view(&kCancel, 1));
    watched[1] = {-1, 0, 0};
  }
  bool gone = false;
  std::string answer = receive(socket_.get(), gone);
  if (gone) return ended();
  return answer;
}

}  // namespace eps::os
