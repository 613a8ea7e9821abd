// SPDX-License-Identifier: MIT
#include "runtime/server_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "support/server_node_bed.h"

namespace eps::runtime {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A server with the members a and b, whose daemon writes down what it should do.
class ServerCommandsTest : public testing::Test, protected test::ServerNodeBed {
 protected:
  ServerCommandsTest() : ServerNodeBed("10.0.0.0/24", {.version = "1"}) {
    for (const char* name : {"a", "b"}) {
      registry::JoinRequest request{crypto::generate_key_pair(rng_).public_key, name, "1"};
      request.join_key = registry::kNetworkKeyId;
      EXPECT_TRUE(std::holds_alternative<Member>(registry_->join(request)));
    }
  }
  // Reports, too, which a daemon makes in another thread.
  json ask_for(json request) {
    request["uid"] = ::geteuid();
    const auto answer = commands_(request);
    const auto* report = std::get_if<std::function<json()>>(&answer);
    return report != nullptr ? (*report)() : std::get<json>(answer);
  }
  json ask(const std::string& command, const json& fields = json::object()) {
    json request = {{"command", command}};
    request.update(fields);
    return ask_for(std::move(request));
  }
  std::size_t audited() { return registry_->audit({.limit = 1000})->size(); }

  boost::asio::io_context io_{1};
  ops::Background background_{io_};
  ops::Log log_{{}};
  int acted_ = 0, asked_ = 0;
  Result<std::string> reloaded_ = std::string("The configuration is read again.");
  NetworkGraph graph_{io_, background_, log_, [] { return ServerStatus{}; }, [] { return std::vector<PairStatus>{}; }};
  ServerCommands commands_{{*registry_, *node_, graph_, log_, [this](node::ServerOutputs&&) { ++acted_; },
                            [this] { return node_->status(now_); }, [this] { ++asked_; },
                            [this](const ConfText&) { return reloaded_; },
                            [](const std::string&) { return Result<void>(); }}};
};

TEST_F(ServerCommandsTest, AnActIsDoneWrittenDownAndAnswered) {
  const std::size_t before = audited();
  EXPECT_EQ(ask("remove", {{"name", "a"}}), (json{{"ok", true}}));
  EXPECT_EQ(acted_, 1) << "the members are told";
  EXPECT_EQ(registry_->members().size(), 1U);
  EXPECT_EQ(audited(), before + 1);
}

TEST_F(ServerCommandsTest, ARefusalSaysWhyAndChangesNothing) {
  const std::size_t before = audited();
  for (const json& request :
       {json{{"command", "remove"}, {"name", "nobody"}}, json{{"command", "rename"}, {"name", "a"}, {"new_name", "b"}},
        json{{"command", "allow"}, {"name", "a"}, {"range", "10.0.0.300"}},
        json{{"command", "allow"}, {"all", true}, {"range", "bridge"}},
        json{{"command", "set_policy"}, {"text", "permit everything"}},
        json{{"command", "lock_accept"}, {"id", "1"}}}) {
    const json answer = ask_for(request);
    EXPECT_EQ(answer.value("ok", true), false) << request;
    EXPECT_GT(answer.value("error", "").size(), 10U) << request;
  }
  EXPECT_EQ(registry_->members().size(), 2U);
  EXPECT_EQ(audited(), before);
}

TEST_F(ServerCommandsTest, ARenameSaysWhatItDoesToTheRules) {
  ASSERT_EQ(ask("set_policy", {{"text", "allow a to b\n"}}), (json{{"ok", true}, {"locked", false}}));
  const json answer = ask("rename", {{"name", "a"}, {"new_name", "c"}});
  EXPECT_EQ(answer, (json{{"ok", true}, {"locked", false}, {"gained_rules", false}, {"lost_rules", true}}));
}

TEST_F(ServerCommandsTest, ReportsHaveNoActor) {
  const std::size_t before = audited();
  EXPECT_EQ(ask("status")["status"]["members"].size(), 2U);
  EXPECT_EQ(ask("members")["status"]["members"].size(), 2U);
  EXPECT_EQ(ask("pairs")["pairs"].size(), 0U);
  EXPECT_THAT(ask("graph")["dot"].get<std::string>(), HasSubstr("graph"));
  EXPECT_EQ(audited(), before);
  EXPECT_EQ(ask("refresh"), (json{{"ok", true}}));
  EXPECT_EQ(asked_, 1);
}

TEST_F(ServerCommandsTest, AReloadThatFailsIsToldAsItIs) {
  EXPECT_EQ(ask("reload")["note"], "The configuration is read again.");
  reloaded_ = make_error(Errc::invalid_argument, "eps.conf:1: unknown option");
  EXPECT_EQ(ask("reload"), (json{{"ok", false}, {"error", "eps.conf:1: unknown option"}}));
}

TEST_F(ServerCommandsTest, WhatItDoesNotKnowMayBeForTheClient) {
  EXPECT_THAT(ask("why").value("error", ""), HasSubstr("\"why\": it is one of eps-client"));
  EXPECT_THAT(ask_for(json::object()).value("error", ""), HasSubstr("\"\""));
}

// The status socket answers for all of them (ops/status_socket.h).
TEST_F(ServerCommandsTest, AValueOfAnotherTypeThrows) {
  EXPECT_THROW(ask("remove", {{"name", 5}}), json::exception);
  EXPECT_THROW(ask("set_policy"), json::exception);
  EXPECT_THROW(ask("create_key", {{"uses", "many"}}), json::exception);
  EXPECT_THROW(ask("pairs", {{"after", {1}}}), json::exception);
}

}  // namespace
}  // namespace eps::runtime
