// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/types.h"

namespace eps {
namespace {

TEST(Bytes, Base32RoundTripsEveryLengthAndRefusesStrayBits) {
  Bytes data;
  for (int n = 0; n < 70; ++n) {
    EXPECT_EQ(from_base32(to_base32(data)), data) << n;
    data.push_back(static_cast<std::byte>(n * 37));
  }
  EXPECT_EQ(to_base32(as_view("foobar")), "mzxw6ytboi");  // RFC 4648, section 10
  EXPECT_FALSE(from_base32("mzxw6ytboj"));                // the last digit has bits that belong to no byte
  EXPECT_FALSE(from_base32("m1"));
  EXPECT_FALSE(from_base32("mzxw6y8"));
}

TEST(Bytes, ReaderStopsAtTheEnd) {
  const Bytes data = *from_hex("0102030405");
  Reader in(data);
  EXPECT_EQ(in.u8(), 1);
  EXPECT_EQ(in.u24(), 0x020304U);
  EXPECT_EQ(in.u16(), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0);
}

TEST(Types, AddressesRoundTrip) {
  for (const char* text : {"10.0.8.1", "255.255.255.255", "2001:db8::1", "::", "fe80::1"}) {
    ASSERT_TRUE(parse_ip(text)) << text;
    EXPECT_EQ(to_string(*parse_ip(text)), text);
  }
  for (const char* text : {"10.0.8.1:1", "[2001:db8::1]:43439"}) {
    ASSERT_TRUE(parse_endpoint(text)) << text;
    EXPECT_EQ(to_string(*parse_endpoint(text)), text);
  }
  for (const char* text : {"", "10.0.8", "10.0.8.1:70000", "2001:db8::1:5", "[10.0.0.1]:5", "10.0.0.1"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
  EXPECT_EQ(to_string(*parse_mac("02:00:5e:10:00:ff")), "02:00:5e:10:00:ff");
  EXPECT_FALSE(parse_mac("02:00:5e:10:00:f"));
}

TEST(Types, NetworksAreCanonical) {
  const auto network = parse_ip4_network("172.20.16.0/21");
  ASSERT_TRUE(network);
  EXPECT_EQ(network->host_count(), 2046U);
  EXPECT_TRUE(network->contains({0xac1417ff}));
  EXPECT_FALSE(network->contains({0xac141800}));
  EXPECT_EQ(to_string(network->broadcast()), "172.20.23.255");
  for (const char* text : {"10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "x/8", "10.0.0.0/-1"}) {
    EXPECT_FALSE(parse_ip4_network(text)) << text;
  }
}

}  // namespace
}  // namespace eps
