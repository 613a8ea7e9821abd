// SPDX-License-Identifier: MIT
#include "runtime/tls.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace eps::runtime {
namespace {

using testing::HasSubstr;

// Passes data of both ends on in pieces of some length; what each has read stays.
class TlsTest : public testing::TestWithParam<std::size_t> {
 protected:
  // Until neither end has anything to send.
  void carry(std::size_t piece) {
    bool sent = true;
    while (sent) {
      sent = carry(*client_, *server_, at_server_, piece);
      sent = carry(*server_, *client_, at_client_, piece) || sent;
    }
  }
  static bool carry(Tls& from, Tls& to, std::string& read, std::size_t piece) {
    const Bytes sent = from.take_output();
    for (ByteView rest = sent; !rest.empty();) {
      const std::size_t n = std::min(piece, rest.size());
      const auto plain = to.read(rest.first(n));
      EXPECT_TRUE(plain) << plain.error().what;
      if (!plain) return false;
      read += as_text(*plain);
      rest = rest.subspan(n);
    }
    return !sent.empty();
  }

  std::unique_ptr<Tls> client_ = Tls::client("eps.example"), server_ = Tls::server();
  std::string at_server_, at_client_;
};

TEST_P(TlsTest, CarriesBytesBothWaysInPiecesOfAnyLength) {
  client_->write(as_view("from the "));  // before the handshake is over
  client_->write(as_view("client"));
  carry(GetParam());
  server_->write(as_view("from the server"));
  carry(GetParam());
  EXPECT_EQ(at_server_, "from the client");
  EXPECT_EQ(at_client_, "from the server");
}

TEST_P(TlsTest, CarriesMoreThanARecord) {
  const std::string much(100'000, 'x');
  carry(GetParam());
  server_->write(as_view(much));
  client_->write(as_view(much));
  carry(GetParam());
  EXPECT_EQ(at_client_, much);
  EXPECT_EQ(at_server_, much);
}

INSTANTIATE_TEST_SUITE_P(Pieces, TlsTest, testing::Values(1, 7, 536, 1 << 20));

TEST_F(TlsTest, NoContentIsReadable) {
  client_->write(as_view("the text inside"));
  server_->write(as_view("the text inside"));
  std::string wire;
  for (int i = 0; i < 4; ++i) {
    for (const auto& [from, to] : {std::pair(client_.get(), server_.get()), std::pair(server_.get(), client_.get())}) {
      const Bytes sent = from->take_output();
      wire += as_text(sent);
      ASSERT_TRUE(to->read(sent));
    }
  }
  EXPECT_THAT(wire, HasSubstr("eps.example")) << "the name is in the ClientHello";
  EXPECT_EQ(wire.find("the text inside"), std::string::npos);
}

TEST_F(TlsTest, AClientHelloIsRecognised) {
  EXPECT_TRUE(Tls::begins(client_->take_output()));
  EXPECT_FALSE(Tls::begins({}));
  EXPECT_FALSE(Tls::begins(as_view(std::string_view("\0\x90", 2))));
}

TEST_F(TlsTest, AnythingButTlsEndsTheConnectionWithAReason) {
  const auto read = client_->read(as_view("HTTP/1.1 400 Bad Request\r\n\r\n"));
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, HasSubstr("the TLS connection failed: "));
  const auto hello = server_->read(as_view(std::string(64, '\x16')));
  EXPECT_FALSE(hello);
}

TEST_F(TlsTest, AChangedByteEndsTheConnection) {
  carry(1 << 20);
  client_->write(as_view("x"));
  Bytes sent = client_->take_output();
  sent.back() ^= std::byte{1};
  EXPECT_FALSE(server_->read(sent));
}

}  // namespace
}  // namespace eps::runtime
