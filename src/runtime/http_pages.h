// SPDX-License-Identifier: MIT
#pragma once

// The pages of --http of both daemons: /healthz, /metrics, /api/v1/network and, on the server, /network.gv.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "ops/http_server.h"
#include "report/scorecard.h"

namespace eps::runtime {

struct HttpPages {
  std::function<std::string()> ailment;  // one sentence; "" while the daemon does its job
  // Each takes a snapshot; the result turns it into the page.
  std::function<std::function<std::vector<report::Figure>()>()> figures;
  std::function<std::function<nlohmann::json()>()> network;  // the status
  std::function<std::function<std::string()>()> graph;       // DOT; empty: none

  ops::HttpServer::Answer operator()(std::string_view path) const {
    if (path == "/healthz") {
      const std::string wrong = ailment();
      return wrong.empty() ? ops::HttpPage{.body = "ok\n"} : ops::HttpPage{.status = 503, .body = wrong + "\n"};
    }
    if (path == "/metrics") {
      return [figures = figures()] {
        return ops::HttpPage{.type = "text/plain; version=0.0.4; charset=utf-8",
                             .body = report::scorecard_text(figures(), report::ScorecardFormat::prometheus)};
      };
    }
    if (path == "/api/v1/network") {
      return [network = network()] {
        return ops::HttpPage{.type = "application/json",
                             .body = network().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
      };
    }
    if (path == "/network.gv" && graph) {
      return [graph = graph()] { return ops::HttpPage{.type = "text/vnd.graphviz; charset=utf-8", .body = graph()}; };
    }
    return ops::HttpPage{.status = 404,
                         .body = std::string("There are /healthz, /metrics and /api/v1/network") +
                                 (graph ? ", /network.gv" : "") + " here.\n"};
  }
};

}  // namespace eps::runtime
