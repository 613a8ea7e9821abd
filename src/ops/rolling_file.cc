// SPDX-License-Identifier: MIT
#include "ops/rolling_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <utility>

#include "os/output_file.h"

namespace eps::ops {
namespace {

constexpr mode_t kLogMode = 0640;

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool is_regular_file(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool points_to(const std::string& link, std::string_view target) {
  std::array<char, 512> text{};
  const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  return size >= 0 && std::string_view(text.data(), static_cast<std::size_t>(size)) == target;
}

// Atomically replaces whatever file or link is there.
int make_link(const std::string& link, const std::string& target) {
  if (points_to(link, target)) return 0;
  const std::string temporary = link + "." + std::to_string(::getpid());
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0) return errno;
  if (::rename(temporary.c_str(), link.c_str()) == 0) return 0;
  const int error = errno;
  ::unlink(temporary.c_str());
  return error;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

// A new file that root creates in the directory of the daemon's user belongs to that user, who continues it.
void give_to_owner_of(const std::string& directory, int fd) {
  struct stat parent {
  }, file{};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &parent) != 0 || parent.st_uid == 0) return;
  if (::fstat(fd, &file) != 0 || file.st_size != 0 || file.st_nlink != 1) return;
  (void)!::fchown(fd, parent.st_uid, parent.st_gid);
}

constexpr const char* kInstead = "; the log goes to standard error. Choose another file with --log";

Error refused(const Error& error) {
  return make_error(error.code, "Refused: " + error.what + kInstead + ".", error.sys);
}

// Other users could read it, and replace it with another file.
Error foreign(const std::string& path) {
  return make_error(Errc::permission, "Cannot write the log file " + path +
                                          ": another user has put it there, in a directory that others may write to" +
                                          kInstead + " or remove it.");
}

Error cannot_write(const std::string& path, int error) {
  return make_error(error == EACCES || error == EPERM ? Errc::permission : Errc::unavailable,
                    "Cannot write the log file " + path + ": " + std::strerror(error) + kInstead + " or run with sudo.",
                    error);
}

}  // namespace

RollingFile::RollingFile(const std::string& path, std::size_t max_size, std::size_t max_files)
    : path_(path), max_size_(max_size), max_files_(std::max<std::size_t>(max_files, 1)) {
  const std::size_t name_at = path.rfind('/') + 1;
  const std::size_t dot = path.rfind('.');
  const bool has_extension = dot != std::string::npos && dot > name_at;
  stem_ = has_extension ? path.substr(0, dot) : path;
  extension_ = has_extension ? path.substr(dot) : "";
}

RollingFile::RollingFile(RollingFile&& other) noexcept
    : path_(std::move(other.path_)),
      stem_(std::move(other.stem_)),
      extension_(std::move(other.extension_)),
      max_size_(other.max_size_),
      max_files_(other.max_files_),
      plain_(other.plain_),
      fd_(std::exchange(other.fd_, -1)),
      astray_(std::move(other.astray_)) {}

RollingFile::~RollingFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<RollingFile> RollingFile::open(const std::string& given, std::size_t max_size, std::size_t max_files) {
  // Any link that is not ours leads to the log's location, like those that the packages put into /var/log.
  const auto place = os::find_output(given, is_own_link);
  if (!place) return refused(place.error());
  const std::string& path = place->path;
  RollingFile file(path, max_size, max_files);
  if (place->special) {
    file.plain_ = true;
    file.fd_ = os::open_special(path);
    if (file.fd_ < 0) return cannot_write(path, errno);
    return file;
  }
  // A plain file under the name of our link is from another program or version: it becomes the newest of the old ones.
  if (is_regular_file(path)) {
    const int old = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool own = old >= 0 && os::is_own_file(old, path);
    if (old >= 0) ::close(old);
    if (!own) return foreign(path);
    file.roll();
    if (::rename(path.c_str(), file.numbered(0).c_str()) != 0) return cannot_write(path, errno);
  }
  if (auto opened = file.open_active(); !opened) return opened.error();
  if (const int error = make_link(path, std::string(base_name(file.numbered(0))))) return cannot_write(path, error);
  return file;
}

bool RollingFile::is_own_link(const std::string& path) {
  return points_to(path, base_name(RollingFile(path, 0, 0).numbered(0)));
}

std::string RollingFile::numbered(std::size_t number) const {
  return stem_ + "_" + std::to_string(number) + extension_;
}

Result<void> RollingFile::open_active() {
  const std::string active = numbered(0);
  // So as not to block on a FIFO that somebody put there.
  const int fd = ::open(active.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kLogMode);
  if (fd < 0) return cannot_write(active, errno);
  if (!os::is_own_file(fd, active)) {
    ::close(fd);
    return foreign(active);
  }
  give_to_owner_of(directory_of(active), fd);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  return {};
}

void RollingFile::roll() {
  ::unlink(numbered(max_files_ - 1).c_str());
  for (std::size_t number = max_files_ - 1; number > 0; --number) {
    ::rename(numbered(number - 1).c_str(), numbered(number).c_str());
  }
}

void RollingFile::follow(std::size_t entry_size) {
  if (plain_) return;
  struct stat at_path {
  }, ours{};
  const bool same = ::stat(numbered(0).c_str(), &at_path) == 0 && ::fstat(fd_, &ours) == 0 &&
                    at_path.st_ino == ours.st_ino && at_path.st_dev == ours.st_dev;
  const auto size = static_cast<std::size_t>(at_path.st_size);
  // The name was moved away, or replaced with an empty file, as by logrotate: restore it.
  struct stat name {};
  if (::lstat(path_.c_str(), &name) != 0 ? errno == ENOENT : S_ISREG(name.st_mode) && name.st_size == 0) {
    (void)make_link(path_, std::string(base_name(numbered(0))));
  }
  if (same) astray_.clear();
  if (same && (size == 0 || size + entry_size <= max_size_)) return;
  if (same) roll();
  // If the new file cannot be opened, the entries still go to the old one.
  if (const auto opened = open_active()) {
    (void)make_link(path_, std::string(base_name(numbered(0))));
    astray_.clear();
  } else {
    const bool denied = opened.error().sys == EACCES || opened.error().sys == EPERM;
    astray_ = "The log " + path_ + " was moved away, or its directory was, and no new one can be made there (" +
              std::strerror(opened.error().sys) + "): entries go to the old file. " +
              (denied ? "Restart this daemon: while it runs it may write only into the directory that was there when "
                        "it started."
                      : "Make its directory again: " + directory_of(path_) + ".");
  }
}

bool RollingFile::append(std::string_view entry) {
  follow(entry.size());
  while (!entry.empty()) {
    const ssize_t wrote = ::write(fd_, entry.data(), entry.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    entry.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

}  // namespace eps::ops
