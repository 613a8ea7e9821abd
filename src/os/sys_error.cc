// SPDX-License-Identifier: MIT
#include "os/sys_error.h"

#include <cerrno>
#include <system_error>

namespace eps::os {

std::string errno_text(int sys) {
  return std::generic_category().message(sys);
}

Errc code_of(int sys) {
  switch (sys) {
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::permission;
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return Errc::not_found;
    case EADDRINUSE:
    case EBUSY:
    case EEXIST:
    case ETXTBSY:
      return Errc::in_use;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
      return Errc::exhausted;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ERANGE:
      return Errc::invalid_argument;
    case EAFNOSUPPORT:
    case EOPNOTSUPP:
    case ENOSYS:
    case EPROTONOSUPPORT:
      return Errc::unsupported;
    default:
      return Errc::unavailable;
  }
}

Error sys_error(std::string_view tried, int sys, std::string_view remedy) {
  std::string what(tried);
  what += ": ";
  what += errno_text(sys);
  if (!remedy.empty()) {
    what += "; ";
    what += remedy;
  }
  return make_error(code_of(sys), std::move(what), sys);
}

}  // namespace eps::os
