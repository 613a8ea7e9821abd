// SPDX-License-Identifier: MIT
#include "app/conf_file.h"

#include <gtest/gtest.h>

namespace eps::app {
namespace {

TEST(ConfFile, ReadsNamesValuesAndSections) {
  const auto lines = parse_conf(
      "\xef\xbb\xbf# comment\r\n"
      "\n"
      "port=1\r\n"
      "  log =  /var/log/a b.log   # why\n"
      "stats\n"
      "[server] # ours\n"
      "network = 10.0.8.0/24\n"
      "[client]\n"
      "server = \"one  two\"\n"
      "name =\n"
      "key = a#b\n"
      "log = \"/tmp/x # y\"",
      "f");
  ASSERT_TRUE(lines) << lines.error().what;
  struct Expected {
    std::size_t line;
    const char *section, *name;
    std::optional<std::string> value;
  };
  const std::vector<Expected> expected = {
      {3, "", "port", "1"},
      {4, "", "log", "/var/log/a b.log"},
      {5, "", "stats", std::nullopt},
      {7, "server", "network", "10.0.8.0/24"},
      {9, "client", "server", "one  two"},
      {10, "client", "name", ""},
      {11, "client", "key", "a#b"},
      {12, "client", "log", "/tmp/x # y"},
  };
  ASSERT_EQ(lines->size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ((*lines)[i].line, expected[i].line);
    EXPECT_EQ((*lines)[i].section, expected[i].section);
    EXPECT_EQ((*lines)[i].name, expected[i].name);
    EXPECT_EQ((*lines)[i].value, expected[i].value);
  }
}

TEST(ConfFile, NamesTheLineThatIsWrong) {
  const std::string form = "expected a line of the form NAME = VALUE";
  const std::string section = "unknown section; there are [server] and [client]";
  for (const auto& [text, line, sentence] : std::initializer_list<std::tuple<const char*, int, std::string>>{
           {"port 43439", 1, form},
           {"\n\n = 5", 3, form},
           {"# x\nkey eps1-secret", 2, form},
           {"\"port\" = 5", 1, form},
           {"[server", 1, section},
           {"port=1\n[Server]", 2, section},
           {"[]", 1, section},
           {"[ server ]", 1, section},
       }) {
    const auto lines = parse_conf(text, "/etc/eps.conf");
    ASSERT_FALSE(lines) << text;
    EXPECT_EQ(lines.error().what, "/etc/eps.conf:" + std::to_string(line) + ": " + sentence);
  }
}

TEST(ConfFile, AnEmptyFileHasNoOptions) {
  for (const char* text : {"", "\n", "   \r\n\t\n", "#", "# x\n#y"}) {
    const auto lines = parse_conf(text, "f");
    ASSERT_TRUE(lines);
    EXPECT_TRUE(lines->empty());
  }
}

}  // namespace
}  // namespace eps::app
