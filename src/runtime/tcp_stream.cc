// SPDX-License-Identifier: MIT
#include "runtime/tcp_stream.h"

#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

namespace eps::runtime {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {
using NotSentLowWater = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;
constexpr int kUnsent = 32 * 1024;  // bytes that the kernel holds unsent
}  // namespace

Endpoint to_endpoint(const tcp::endpoint& endpoint) {
  Endpoint out;
  out.port = endpoint.port();
  if (endpoint.address().is_v4()) {
    out.ip = IpAddress::from_v4({endpoint.address().to_v4().to_uint()});
  } else {
    const auto raw = endpoint.address().to_v6().to_bytes();
    std::memcpy(out.ip.bytes.data(), raw.data(), 16);
  }
  return out;
}

TcpStream::TcpStream(tcp::socket socket, std::size_t max_backlog, std::unique_ptr<Tls> tls)
    : socket_(std::move(socket)), linger_(socket_.get_executor()), max_backlog_(max_backlog), tls_(std::move(tls)) {
  boost::system::error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  // Data waits here rather than in the kernel: here control messages overtake relayed data.
  socket_.set_option(NotSentLowWater(kUnsent), ignored);
}

void TcpStream::start(Handlers handlers) {
  handlers_ = std::move(handlers);
  if (tls_) queue(tls_->take_output());
  read();
}

// Waits without a buffer: thousands of connections are silent most of the time.
void TcpStream::read() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](boost::system::error_code e) {
    if (self->closing_) return;
    static thread_local std::array<std::byte, 64 * 1024> buffer;
    std::size_t n = 0;
    if (!e) n = self->socket_.read_some(asio::buffer(buffer), e);
    if (e == asio::error::would_block || e == asio::error::interrupted) return self->read();
    if (e) return self->fail(e == asio::error::eof ? "" : e.message());
    self->take(ByteView(buffer).first(n));
    self->held_ = self->total_ && self->backlog_ > kMaxUnread;
    if (!self->closing_ && !self->held_) self->read();
  });
}

void TcpStream::take(ByteView received) {
  if (std::exchange(may_become_tls_, false) && Tls::begins(received)) tls_ = Tls::server();
  if (!tls_) return handlers_.on_bytes(received);
  const auto plain = tls_->read(received);
  queue(tls_->take_output());
  if (!plain) return fail(plain.error().what);
  if (!plain->empty()) handlers_.on_bytes(*plain);
}

void TcpStream::send(Bytes bytes) {
  if (!tls_) return queue(std::move(bytes));
  tls_->write(bytes);
  queue(tls_->take_output());
}

void TcpStream::queue(Bytes bytes) {
  if (closing_ || bytes.empty()) return;
  backlog_ += bytes.size();
  if (total_) *total_ += bytes.size();
  // The first is being written.
  if (queue_.size() > 1 && queue_.back().size() + bytes.size() <= kBlock) {
    queue_.back().insert(queue_.back().end(), bytes.begin(), bytes.end());
  } else {
    queue_.push_back(std::move(bytes));
  }
  if (backlog_ > max_backlog_) return end("the other end has stopped reading");
  if (!writing_) write();
}

// From the event loop, like every other failure: the caller is in the middle of something.
void TcpStream::end(std::string why) {
  asio::post(socket_.get_executor(), [self = shared_from_this(), why = std::move(why)]() mutable {
    if (!self->closing_) self->fail(std::move(why));
  });
}

void TcpStream::take_off(std::size_t written) {
  backlog_ -= written;
  if (total_) *total_ -= written;
}

void TcpStream::write() {
  if (queue_.empty()) {
    const bool wrote = std::exchange(writing_, false);
    if (wrote && !closing_) return handlers_.on_drained();
    if (closing_) {
      boost::system::error_code ignored;
      linger_.cancel();
      socket_.shutdown(tcp::socket::shutdown_both, ignored);
      socket_.close(ignored);
    }
    return;
  }
  writing_ = true;
  asio::async_write(socket_, asio::buffer(queue_.front()),
                    [self = shared_from_this()](boost::system::error_code e, std::size_t) {
                      if (e) {
                        self->queue_.clear();
                        self->take_off(self->backlog_);
                        if (!self->closing_) return self->fail(e.message());
                      } else {
                        self->take_off(self->queue_.front().size());
                        self->queue_.pop_front();
                        if (self->backlog_ <= kMaxUnread / 2 && std::exchange(self->held_, false)) self->read();
                      }
                      self->write();
                    });
}

void TcpStream::close() {
  if (closing_) return;
  closing_ = true;
  if (!writing_) return write();
  // The other end may have stopped reading.
  linger_.expires_after(kLinger);
  linger_.async_wait([self = shared_from_this()](boost::system::error_code e) {
    boost::system::error_code ignored;
    if (!e) self->socket_.close(ignored);
  });
}

void TcpStream::fail(std::string why) {
  closing_ = true;
  boost::system::error_code ignored;
  socket_.close(ignored);
  handlers_.on_closed(std::move(why));
}

}  // namespace eps::runtime
