// SPDX-License-Identifier: MIT
#include "runtime/tcp_stream.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <string>

namespace eps::runtime {
namespace {

using boost::asio::ip::tcp;

constexpr std::size_t kMaxBacklog = 16 * 1024 * 1024;

// A server's stream, and its client as a plain socket, over loopback.
class TcpStreamTest : public testing::Test {
 protected:
  TcpStreamTest() {
    tcp::acceptor acceptor(io_, {boost::asio::ip::address_v4::loopback(), 0});
    client_.connect(acceptor.local_endpoint());
    stream_ = std::make_shared<TcpStream>(acceptor.accept(), kMaxBacklog);
    client_.non_blocking(true);
  }
  ~TcpStreamTest() override {
    stream_->close();
    io_.run_for(std::chrono::seconds(1));
  }
  // Each byte of a question is answered with so many bytes.
  void serve(std::size_t answer) {
    stream_->answers(total_);
    stream_->start({[this, answer](ByteView bytes) {
                      asked_ += bytes.size();
                      for (const std::byte b : bytes) stream_->send(Bytes(answer, b));
                    },
                    [this](const std::string& why) { ended_ = why; }});
  }
  // Sends questions until nothing is taken any more; their number.
  std::size_t ask(std::size_t most) {
    const std::string questions(1000, 'q');
    std::size_t sent = 0;
    for (int refused = 0; sent < most && refused < 1000;) {
      boost::system::error_code e;
      const std::size_t n = client_.write_some(boost::asio::buffer(questions), e);
      sent += n;
      refused = n == 0 ? refused + 1 : 0;
      io_.poll();
    }
    return sent;
  }
  // Reads until so many have come.
  std::string read(std::size_t count) {
    std::string out(count, 0);
    std::size_t have = 0;
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (have < count && std::chrono::steady_clock::now() < limit) {
      boost::system::error_code e;
      have += client_.read_some(boost::asio::buffer(out.data() + have, count - have), e);
      io_.poll();
    }
    out.resize(have);
    return out;
  }

  boost::asio::io_context io_;
  tcp::socket client_{io_};
  std::shared_ptr<TcpStream> stream_;
  std::shared_ptr<std::size_t> total_ = std::make_shared<std::size_t>(0);
  std::size_t asked_ = 0;
  std::optional<std::string> ended_;
};

TEST_F(TcpStreamTest, WhoeverReadsNoAnswersCanAskNoMore) {
  constexpr std::size_t kAnswer = 30;
  serve(kAnswer);
  const std::size_t sent = ask(100'000'000);
  EXPECT_GT(stream_->backlog(), kMaxUnread);
  EXPECT_LT(stream_->backlog(), kMaxUnread + 64 * 1024 * kAnswer) << "what one read brought";
  EXPECT_EQ(*total_, stream_->backlog());
  EXPECT_LT(asked_, sent) << "the rest waits in the kernel";
  EXPECT_FALSE(ended_);
  // Once it reads, all is answered, in order.
  EXPECT_EQ(read(sent * kAnswer), std::string(sent * kAnswer, 'q'));
  EXPECT_EQ(asked_, sent);
  EXPECT_EQ(*total_, 0U);
}

TEST_F(TcpStreamTest, MessagesThatWaitArriveAsTheyWereSent) {
  stream_->start({[](ByteView) {}, [](const std::string&) {}});
  std::string expected;
  for (int n = 0; n < 5000; ++n) {
    const std::string message = std::to_string(n) + std::string(static_cast<std::size_t>(n % 700), '.');
    expected += message;
    stream_->send(Bytes(as_view(message).begin(), as_view(message).end()));
  }
  EXPECT_EQ(read(expected.size()), expected);
  EXPECT_EQ(stream_->backlog(), 0U);
}

TEST_F(TcpStreamTest, AStreamThatEndsNoLongerCountsInTheTotal) {
  serve(30);
  ask(100'000'000);
  EXPECT_GT(*total_, 0U);
  stream_->end("enough");
  io_.run_for(std::chrono::milliseconds(100));
  EXPECT_EQ(ended_, "enough");
  EXPECT_EQ(*total_, 0U);
}

}  // namespace
}  // namespace eps::runtime
