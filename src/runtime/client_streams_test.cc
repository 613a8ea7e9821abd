// SPDX-License-Identifier: MIT
#include "runtime/client_streams.h"

#include <gmock/gmock.h>

#include <array>
#include <boost/asio/io_context.hpp>

namespace eps::runtime {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;

TEST(ClientStreams, IfTooMuchWaitsForAllTheOneWithMostGoes) {
  constexpr std::size_t kMost = 8 * 1024 * 1024;
  boost::asio::io_context io;
  tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
  ClientStreams streams(kMost);
  std::array<tcp::socket, 3> clients{tcp::socket(io), tcp::socket(io), tcp::socket(io)};  // none of them reads
  std::array<control::ConnId, 3> ids{};
  std::vector<control::ConnId> ended;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    clients[i].connect(acceptor.local_endpoint());
    const control::ConnId id = ids[i] = streams.add(acceptor.accept(), false);
    streams.start(id, {[](ByteView) {}, [&ended, id](const std::string&) { ended.push_back(id); }});
  }
  EXPECT_EQ(streams.enforce_limit(), std::nullopt);
  streams.send(ids[0], Bytes(kMost / 4));
  streams.send(ids[1], Bytes(kMost));
  streams.send(ids[2], Bytes(kMost / 2));
  EXPECT_THAT(streams.enforce_limit().value_or(""), HasSubstr("does not read: " + std::to_string(kMost) + " bytes"));
  io.run_for(std::chrono::milliseconds(100));
  EXPECT_THAT(ended, testing::ElementsAre(ids[1]));
  EXPECT_FALSE(streams.contains(ids[1]));
  EXPECT_EQ(streams.enforce_limit(), std::nullopt) << "the others are within the limit";
  EXPECT_GT(streams.backlog(ids[2]), 0U);
  for (const control::ConnId id : ids) streams.close(id);
  io.run_for(std::chrono::milliseconds(100));
}

}  // namespace
}  // namespace eps::runtime
