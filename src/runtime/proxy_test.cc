// SPDX-License-Identifier: MIT
#include "runtime/proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace eps::runtime {
namespace {

using testing::HasSubstr;

TEST(Proxy, UsesTheSyntaxOfCurl) {
  const auto proxy = parse_proxy("http://Us%40er:pa%3ass@proxy.example.com:3128/");
  ASSERT_TRUE(proxy);
  EXPECT_EQ(proxy->host, "proxy.example.com");
  EXPECT_EQ(proxy->port, 3128);
  EXPECT_EQ(proxy->credentials, "Us@er:pa:ss");
  EXPECT_EQ(proxy->text(), "proxy.example.com:3128") << "nothing secret in it";
  EXPECT_EQ(parse_proxy("10.0.0.1:8080")->text(), "10.0.0.1:8080");
  EXPECT_EQ(parse_proxy("HTTP://proxy")->text(), "proxy:80");
  EXPECT_EQ(parse_proxy("[fd00::1]:3128")->text(), "[fd00::1]:3128");
}

TEST(Proxy, AnInvalidOneIsRefusedWithoutRepeatingThePassword) {
  for (const char* bad : {"", ":3128", "socks5://u:secret@h:1", "https://u:secret@h:1", "u:secret%4@h:1", "h:0",
                          "h:65536", "h:x", "[fd00::1", "[h]:1", "[fd00::1]1", "a b:1", "h/x:1", "h\r\nx:1"}) {
    const auto proxy = parse_proxy(bad);
    ASSERT_FALSE(proxy) << bad;
    EXPECT_THAT(proxy.error().what, AllOf(HasSubstr("HOST:PORT"), Not(HasSubstr("secret"))));
  }
}

TEST(Proxy, AsksForTheServerAndNamesItself) {
  auto proxy = *parse_proxy("h:1");
  EXPECT_EQ(connect_request(proxy, "eps.example.com", 43439),
            "CONNECT eps.example.com:43439 HTTP/1.1\r\nHost: eps.example.com:43439\r\n\r\n");
  EXPECT_THAT(connect_request(proxy, "fd00::1", 443), HasSubstr("CONNECT [fd00::1]:443 HTTP/1.1\r\n"));
  // RFC 7617, section 2.
  proxy.credentials = "Aladdin:open sesame";
  EXPECT_THAT(connect_request(proxy, "h", 1),
              HasSubstr("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
}

TEST(Proxy, ItsAnswerIsReported) {
  auto proxy = *parse_proxy("h:1");
  const auto why = [&](std::string_view answer) { return connect_failure(proxy, "s", 43439, answer); };
  EXPECT_EQ(why("HTTP/1.1 200 Connection established\r\n\r\n"), "");
  EXPECT_EQ(why("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n"), "");
  EXPECT_THAT(why("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), HasSubstr("the proxy h:1 wants a user"));
  EXPECT_THAT(why("HTTP/1.1 403 For\x1b"
                  "bidden\r\n\r\n"),
              AllOf(HasSubstr("does not connect to s:43439 (403 For?bidden)"), HasSubstr("--also-port 443")));
  EXPECT_THAT(why("SSH-2.0-x\r\n\r\n"), HasSubstr("does not answer as an HTTP proxy"));
  proxy.credentials = "u:p";
  EXPECT_THAT(why("HTTP/1.1 407 x\r\n\r\n"), AllOf(HasSubstr("does not accept"), Not(HasSubstr("u:p"))));
}

TEST(Proxy, HostsOfNoProxyAreReachedWithoutIt) {
  Proxy proxy = *parse_proxy("h:1");
  EXPECT_TRUE(proxy.leads_to("eps.example.com"));
  proxy.except = "localhost,.Example.com, 10.0.0.0/8,fd00::/16 ";
  for (const char* server : {"eps.example.com", "example.com", "10.1.2.3", "localhost", "fd00::5"}) {
    EXPECT_FALSE(proxy.leads_to(server)) << server;
  }
  for (const char* server : {"badexample.com", "example.com.org", "11.1.2.3", "com"}) {
    EXPECT_TRUE(proxy.leads_to(server)) << server;
  }
  proxy.except = "*";
  EXPECT_FALSE(proxy.leads_to("eps.example.com"));
}

}  // namespace
}  // namespace eps::runtime
