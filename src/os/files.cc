// SPDX-License-Identifier: MIT
#include "os/files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "os/sys_error.h"

namespace eps::os {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');  // "a/b/" is "a/b"
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const std::size_t slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_no_write(int error) {
  return error == EROFS || error == ENOSPC || error == EDQUOT;
}

// 0 or the errno.
int write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t wrote = ::write(fd, content.data(), content.size());
    if (wrote < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    content.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return 0;
}

// 0 or the errno.
int fill_new_file(int fd, std::string_view content, mode_t mode) {
  if (::fchmod(fd, mode) != 0) return errno;
  if (const int error = write_all(fd, content)) return error;
  return ::fsync(fd) == 0 ? 0 : errno;
}

// True where there is something to read, the end or an error, as always in a regular file.
bool wait_readable(int fd, std::chrono::steady_clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd waited{fd, POLLIN, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

// Whoever owns a directory of the way, or a link in it, chooses what is at its end.
Result<void> check_way(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    struct stat entry {
    }, parent{};
    if (::lstat(part.c_str(), &entry) != 0) return {};
    const bool ours = entry.st_uid == 0 || entry.st_uid == ::geteuid();
    if (!ours && ::stat(parent_of(part).c_str(), &parent) == 0 && (parent.st_mode & S_IWOTH) != 0) {
      return make_error(Errc::permission, "cannot use the directory " + path + ": another user has made " + part +
                                              "; remove it, or choose another directory with --state");
    }
    if (slash == std::string::npos) return {};
  }
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max) {
  // Does not wait for a writer if it is a FIFO.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return sys_error("cannot read " + path, errno);
  const auto give_up_at = std::chrono::steady_clock::now() + kFifoPatience;
  std::string content;
  // Reserved at once, so that a secret read through here is not left behind by a growing string.
  content.resize(max + 1);
  std::size_t size = 0;
  while (size < content.size()) {
    if (!wait_readable(fd.get(), give_up_at)) {
      return make_error(Errc::unavailable, "cannot read " + path + ": nothing came through it within a second");
    }
    const ssize_t got = ::read(fd.get(), content.data() + size, content.size() - size);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) return sys_error("cannot read " + path, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > max) {
    return make_error(Errc::exhausted, "cannot read " + path + ": it is longer than " + std::to_string(max) + " bytes");
  }
  content.resize(size);
  return content;
}

bool is_unwritable(const Error& error) {
  return is_no_write(error.sys);
}

Result<void> sync_directory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return sys_error("cannot write the directory " + path + " to disk", errno);
  return {};
}

Result<void> write_file_atomic(const std::string& path, std::string_view content, mode_t mode) {
  // In the same directory, as a rename is atomic within a file system only.
  std::string temporary = path + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return sys_error("cannot write " + path, errno);
  int error = fill_new_file(fd.get(), content, mode);
  fd.reset();
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    return sys_error("cannot write " + path, error);
  }
  return sync_directory(parent_of(path));
}

Result<void> create_private_directory(const std::string& path) {
  if (Result<void> ours = check_way(path); !ours) return ours;
  if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
  int error = errno;
  if (error == ENOENT && parent_of(path) != path) {
    if (Result<void> parent = create_private_directory(parent_of(path)); !parent) return parent;
    if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
    error = errno;
  }
  struct stat info {};
  if (error == EEXIST) {
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    error = ENOTDIR;
  }
  return sys_error("cannot make the directory " + path, error, "choose another one with --state, or run with sudo");
}

Result<UniqueFd> lock_file(const std::string& path, std::string_view what, std::string_view remedy) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  const int error = fd ? 0 : errno;
  if (!fd && is_no_write(error)) fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && is_no_write(error)) fd = UniqueFd(::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("cannot open the lock " + path, error);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return sys_error("cannot lock " + path, errno);
    // The holder wrote its id into the file.
    std::array<char, 16> pid{};
    const ssize_t size = ::pread(fd.get(), pid.data(), pid.size() - 1, 0);
    std::string who(pid.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    who.erase(who.find_last_not_of('\n') + 1);
    return make_error(Errc::in_use,
                      std::string(what) + (who.empty() ? "" : " (process " + who + ")") + "; " + std::string(remedy),
                      EWOULDBLOCK);
  }
  // For people only; the lock is the kernel's, so a failure to write is no failure to lock.
  if (::ftruncate(fd.get(), 0) == 0) (void)write_all(fd.get(), std::to_string(::getpid()) + "\n");
  return fd;
}

}  // namespace eps::os
