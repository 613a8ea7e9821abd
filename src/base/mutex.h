// SPDX-License-Identifier: MIT
#pragma once

// A mutex whose use clang checks at compile time (-Wthread-safety): members marked EPS_GUARDED_BY(mutex_) are accessed
// only while mutex_ is held. The std::mutex of libstdc++ lacks the annotations. Other compilers ignore them.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html

#include <mutex>

#if defined(__clang__)
#define EPS_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define EPS_THREAD_SAFETY(attribute)
#endif
#define EPS_GUARDED_BY(mutex) EPS_THREAD_SAFETY(guarded_by(mutex))
// For a function: the caller holds the mutex.
#define EPS_REQUIRES(mutex) EPS_THREAD_SAFETY(requires_capability(mutex))

namespace eps {

// To wait for a condition, pass the Mutex itself to std::condition_variable_any::wait() and test the condition in a
// loop, because the analysis does not see that a lambda is called under the lock.
class EPS_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  void lock() EPS_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void unlock() EPS_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

// Holds the mutex until the end of its scope.
class EPS_THREAD_SAFETY(scoped_lockable) Lock {
 public:
  explicit Lock(Mutex& mutex) EPS_THREAD_SAFETY(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() EPS_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace eps
