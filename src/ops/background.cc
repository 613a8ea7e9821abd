// SPDX-License-Identifier: MIT
#include "ops/background.h"

#include <pthread.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <optional>
#include <utility>

namespace eps::ops {
namespace {
constexpr const char* kThreadName = "eps-reports";  // in top -H; 15 bytes at most
}  // namespace

struct Background::Impl {
  explicit Impl(boost::asio::io_context& loop) : io(loop) {}
  boost::asio::io_context& io;
  std::optional<boost::asio::thread_pool> thread;
};

Background::Background(boost::asio::io_context& io) : impl_(std::make_unique<Impl>(io)) {}

Background::~Background() {
  if (!impl_->thread) return;
  impl_->thread->stop();
  impl_->thread->join();
}

void Background::run(std::function<Done()> work) {
  if (!impl_->thread) {
    impl_->thread.emplace(1);
    boost::asio::post(*impl_->thread, [] { ::pthread_setname_np(::pthread_self(), kThreadName); });
  }
  boost::asio::post(*impl_->thread, [&io = impl_->io, work = std::move(work)]() mutable {
    Done done = work();
    work = nullptr;  // frees the snapshot here rather than in the loop's thread
    boost::asio::post(io, std::move(done));
  });
}

}  // namespace eps::ops
