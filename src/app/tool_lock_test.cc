// SPDX-License-Identifier: MIT
#include "app/tool_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace eps::app {
namespace {

using testing::HasSubstr;

Member member(std::uint32_t id) {
  Member m;
  m.id = {id};
  m.name = std::string("m").append(std::to_string(id));
  m.key.bytes[0] = m.mac.bytes[5] = static_cast<std::byte>(id);
  m.address = {0x0a000000U + id};
  return m;
}

TEST(LockTool, DoesNotSignWhatIsAnothers) {
  const Member other = member(1);
  const auto clash = [&](auto&& change) {
    Member m = member(2);
    change(m);
    return clash_of(m, {{other, {}}, {m, {}}});
  };
  EXPECT_EQ(clash([](Member&) {}), "");
  EXPECT_THAT(clash([&](Member& m) { m.name = other.name; }), HasSubstr("its name is also that of m1 (10.0.0.1)"));
  EXPECT_THAT(clash([&](Member& m) { m.key = other.key; }), HasSubstr("its key"));
  EXPECT_THAT(clash([&](Member& m) { m.mac = other.mac; }), HasSubstr("its MAC"));
  EXPECT_THAT(clash([&](Member& m) { m.address = other.address; }), HasSubstr("its address"));
  EXPECT_THAT(clash([](Member& m) { m.grants.ranges = {*parse_ip_network("10.0.0.1")}; }),
              HasSubstr("it may use the address of m1"));
  EXPECT_EQ(clash([](Member& m) { m.grants.ranges = {*parse_ip_network("0.0.0.0/0")}; }), "");
  Member holder = member(3);
  holder.grants.ranges = {*parse_ip_network("10.0.0.2")};
  EXPECT_THAT(clash_of(member(2), {{holder, {}}}), HasSubstr("its address is one that m3 may use"));
}

TEST(LockTool, SaysWhatItNeeds) {
  const auto said = [](std::vector<std::string> words) {
    Request request;
    request.words = std::move(words);
    ToolDefaults defaults;
    defaults.client_socket = defaults.server_socket = "/nowhere/eps.sock";
    std::ostringstream out, err;
    EXPECT_NE(LockCommand(request, defaults, out, err).run(), 0);
    return err.str();
  };
  EXPECT_THAT(said({"lock", "add"}), HasSubstr("needs a SIGNER"));
  EXPECT_THAT(said({"lock", "add", "x"}), HasSubstr("\"x\" is not a signer such as eps-signer1-"));
  EXPECT_THAT(said({"lock", "disable", "x"}), HasSubstr("that is not a secret such as eps-unlock1-"));
  EXPECT_THAT(said({"lock", "frobnicate"}), HasSubstr("it is lock status, init"));
  EXPECT_THAT(said({"lock"}), HasSubstr("eps-client does not run here"));
}

}  // namespace
}  // namespace eps::app
