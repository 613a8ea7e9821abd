// SPDX-License-Identifier: MIT
#pragma once

// For tests of options: a configuration file for the test, and the result.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "app/options.h"
#include "control/network_key.h"
#include "support/temporary_directory.h"

namespace eps::app {

using Arguments = std::vector<std::string>;
using runtime::ClientSettings;
using runtime::ServerSettings;

inline std::string network_key() {
  control::NetworkKey key;
  key.server.bytes.fill(std::byte{7});
  key.enrolment.writable()[0] = std::byte{1};
  return control::to_text(key);
}

class Options : public testing::Test {
 protected:
  // The options in the file or on the command line; a client also gets the options that it requires.
  Parsed<ClientSettings> client(Arguments arguments, const std::string& conf = "") {
    if (!conf.empty()) dir.write("eps.conf", conf);
    return client_settings(arguments, here());
  }
  Parsed<ClientSettings> complete_client(Arguments arguments, const std::string& conf = "") {
    return client(std::move(arguments), "key = " + network_key() + "\nserver = fallback\n[client]\n" + conf);
  }
  Parsed<ServerSettings> server(Arguments arguments, const std::string& conf = "") {
    if (!conf.empty()) dir.write("eps.conf", conf);
    return server_settings(arguments, here());
  }
  Surroundings here() const { return {.hostname = "my host", .default_conf = dir / "eps.conf"}; }
  std::string conf() const { return dir / "eps.conf"; }

  const test::TemporaryDirectory dir;
};

template <class Settings>
Settings good(const Parsed<Settings>& parsed) {
  if (const auto* stop = std::get_if<Stop>(&parsed)) {
    ADD_FAILURE() << stop->status << ": " << stop->text;
    return {};
  }
  return std::get<Settings>(parsed);
}

// The sentence of a refusal with exit status 2.
template <class Settings>
std::string refusal(const Parsed<Settings>& parsed, int status = kExitUsage) {
  const auto* stop = std::get_if<Stop>(&parsed);
  if (stop == nullptr) return "(accepted)";
  EXPECT_EQ(stop->status, status);
  EXPECT_TRUE(stop->text.ends_with('\n') && stop->text.find('\n') == stop->text.size() - 1) << stop->text;
  return stop->text.substr(0, stop->text.size() - 1);
}

}  // namespace eps::app
