// SPDX-License-Identifier: MIT
#include "os/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "os/files.h"
#include "os/sandbox.h"
#include "os/sys_error.h"

namespace eps::os {
namespace {

constexpr int kMaxLinks = 8;  // the kernel follows 40; a log is named through one or two

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_ours(uid_t owner) {
  return owner == 0 || owner == ::geteuid();
}

bool others_may_write(const struct stat& directory) {
  return (directory.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

// A name in a directory that only root and this process's user may change is what they want it to be.
bool is_trusted(const std::string& path, const struct stat& entry) {
  struct stat directory {};
  if (is_ours(entry.st_uid)) return true;
  return ::stat(directory_of(path).c_str(), &directory) == 0 && is_ours(directory.st_uid) &&
         !others_may_write(directory);
}

Error planted(const std::string& path, const char* what) {
  return make_error(Errc::permission, "cannot write " + path + ": another user has put " + what +
                                          " there; remove it, or choose a file in a directory that others may not "
                                          "write to");
}

// Each directory on the way that is a link counts as the last name does.
Result<void> check_parents(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    struct stat entry {};
    if (::lstat(parent.c_str(), &entry) != 0) break;
    if (S_ISLNK(entry.st_mode) && !is_trusted(parent, entry)) return planted(parent, "a link");
  }
  return {};
}

}  // namespace

Result<OutputPlace> find_output(const std::string& given, bool (*is_end)(const std::string& link)) {
  std::string path = given;
  for (int links = 0; links < kMaxLinks; ++links) {
    if (auto ok = check_parents(path); !ok) return ok.error();
    // Links in /proc refer to descriptors, not to names.
    if (path.starts_with("/proc/")) return OutputPlace{path, true};
    struct stat entry {};
    if (::lstat(path.c_str(), &entry) != 0 || S_ISREG(entry.st_mode) || S_ISDIR(entry.st_mode)) {
      return OutputPlace{path, false};
    }
    if (!S_ISLNK(entry.st_mode)) {
      if (!is_trusted(path, entry)) return planted(path, S_ISFIFO(entry.st_mode) ? "a FIFO" : "a device");
      return OutputPlace{path, true};
    }
    if (!is_trusted(path, entry)) return planted(path, "a link");
    if (is_end != nullptr && is_end(path)) return OutputPlace{path, false};
    std::array<char, PATH_MAX> text{};
    const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
    if (size <= 0) return sys_error("cannot follow the link " + path, errno);
    const std::string target(text.data(), static_cast<std::size_t>(size));
    path = target.front() == '/' ? target : directory_of(path) + "/" + target;
  }
  return sys_error("cannot follow the link " + given, ELOOP);
}

bool is_own_file(int fd, const std::string& path) {
  struct stat file {
  }, directory{};
  if (::fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || ::stat(directory_of(path).c_str(), &directory) != 0) {
    return false;
  }
  if (is_ours(directory.st_uid) && !others_may_write(directory)) return true;
  if (file.st_nlink > 1) return false;
  return is_ours(file.st_uid) || (file.st_uid == directory.st_uid && !others_may_write(directory));
}

int open_special(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

Result<void> write_output(const std::string& path, std::string_view content, unsigned mode) {
  const auto place = find_output(path);
  if (!place) return place.error();
  if (!place->special) {
    auto written = write_file_atomic(place->path, content, mode);
    if (!written && written.error().sys == EACCES && files_are_restricted()) {
      Error error = written.error();
      error.what += " (a program that runs already may write only where it was told to at its start: restart it)";
      return error;
    }
    return written;
  }
  const UniqueFd fd(open_special(place->path));
  if (!fd && errno == ENXIO) return make_error(Errc::unavailable, "cannot write " + path + ": nobody reads it", ENXIO);
  if (!fd) return sys_error("cannot write " + path, errno);
  while (!content.empty()) {
    const ssize_t wrote = ::write(fd.get(), content.data(), content.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      return make_error(Errc::unavailable, "cannot write " + path + ": its reader does not keep up", EAGAIN);
    }
    if (wrote < 0) return sys_error("cannot write " + path, errno);
    content.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return {};
}

}  // namespace eps::os
