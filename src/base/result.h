// SPDX-License-Identifier: MIT
#pragma once

// How an operation that can fail answers: Result<T> holds a T or an Error. No exceptions cross the core.

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
  corrupt,           // stored or received data contradict themselves
  unavailable,       // it did not work now and may work later
  unsupported,       // this system cannot do it
};

struct Error {
  Errc code = Errc::unavailable;
  int sys = 0;       // errno where a system call failed, else 0
  std::string what;  // one sentence: what was tried on what, and how to mend it
};

[[noreturn]] void die_on_unchecked(const Error& error);

// Found by argument-dependent lookup: what Result<T>::value() does when it holds an Error is a bug, not a flow.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  die_on_unchecked(error);
}

template <class T>
using Result = boost::system::result<T, Error>;

inline Error make_error(Errc code, std::string what, int sys = 0) {
  return {code, sys, std::move(what)};
}

}  // namespace eps
