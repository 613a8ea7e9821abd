// SPDX-License-Identifier: MIT
#pragma once

// The result of an operation that can fail: Result<T> holds a T or an Error. No exceptions cross the core.

#include <boost/system/result.hpp>
#include <string>
#include <utility>

namespace eps {

enum class Errc {
  invalid_argument,  // the caller's or the user's value is wrong
  permission,        // the process lacks a privilege
  not_found,         // a file, device or entry is missing
  in_use,            // an address, port, name or device is taken
  exhausted,         // a bounded resource is full
  corrupt,           // stored or received data are inconsistent
  unavailable,       // failed now, may work later
  unsupported,       // this system does not support it
};

struct Error {
  Errc code = Errc::unavailable;
  int sys = 0;       // errno where a system call failed, else 0
  std::string what;  // one sentence: what was attempted, on what, and how to fix it
};

[[noreturn]] void die_on_unchecked(const Error& error);

// Found by argument-dependent lookup. Calling Result<T>::value() on an Error is a bug, so this aborts.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  die_on_unchecked(error);
}

template <class T>
using Result = boost::system::result<T, Error>;

inline Error make_error(Errc code, std::string what, int sys = 0) {
  return {code, sys, std::move(what)};
}

}  // namespace eps
