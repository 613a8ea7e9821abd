// SPDX-License-Identifier: MIT
#pragma once

// Looks names up without blocking: the C library's resolver, with everything in nsswitch.conf, in separate threads. A
// lookup cannot be cancelled and may take half a minute, so nobody waits for such a thread: it ends by itself, or with
// the process.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace eps::runtime {

class Resolver {
 public:
  explicit Resolver(boost::asio::io_context& io);
  // Lookups still running then are reported to nobody.
  ~Resolver();

  // `on_answer` is called once, from the event loop: addresses in the order of preference, at least one.
  void resolve(const std::string& name, std::function<void(Result<std::vector<IpAddress>>)> on_answer);

  // Per name, as each hangs while its name servers do not answer: a second one asks the current servers after the
  // network changed.
  static constexpr int kMaxThreadsPerName = 3;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace eps::runtime
