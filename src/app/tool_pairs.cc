// SPDX-License-Identifier: MIT
#include "app/tool_pairs.h"

#include "report/pairs.h"

namespace eps::app {

int PairsCommand::run(const std::string& wish) {
  const std::string socket = request_.socket.value_or(defaults_.server_socket);
  json request = {{"command", "pairs"}};
  if (!wish.empty()) {
    const auto members = ask_status(socket, "members");
    if (!members) return failed(members.error(), "eps-server", socket);
    const json meant = entry_of(members->value("members", json::array()), wish);
    if (meant.is_null()) return fail("there is no member \"" + quotable(wish) + "\"; see eps members");
    request["member"] = meant.value("id", 0U);
  }
  json pairs = json::array();
  for (;;) {
    const auto page = ask(socket, request);
    if (!page) return failed(page.error(), "eps-server", socket);
    for (const json& pair : page->value("pairs", json::array())) pairs.push_back(pair);
    const auto next = page->find("next");
    if (next == page->end()) break;
    request["after"] = *next;
  }
  return request_.json ? print_json(pairs) : print(report::pairs_text(pairs, width()));
}

}  // namespace eps::app
