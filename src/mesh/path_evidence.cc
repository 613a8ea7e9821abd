// SPDX-License-Identifier: MIT

// The evidence that mesh::PathFinder keeps for `eps why`: attempts by each way, and their results.

#include <algorithm>

#include "mesh/path_finder.h"

namespace eps::mesh {

void PathFinder::note(std::string what, Instant now) {
  events_.push_back({now, std::move(what)});
  if (events_.size() > kMaxEvents) events_.erase(events_.begin());
}

std::vector<WayStatus> PathFinder::ways(Instant now) const {
  std::vector<WayStatus> out;
  for (const Known& k : known_) {
    WayStatus s;
    s.way = k.way;
    s.origin = k.origin;
    s.in_use = k.way == path_;
    s.answers = k.alive;
    s.lossy = k.quality.lossy();
    s.round_trip = k.quality.round_trip();
    s.pings = k.pings;
    s.pongs = k.pongs;
    s.heard = k.heard;
    if (k.pings > 0) s.since_ping = now - k.pinged_at;
    if (k.answered_at != Instant{}) s.since_answer = now - k.answered_at;
    if (k.heard > 0) s.since_heard = now - k.heard_at;
    out.push_back(s);
  }
  std::ranges::stable_sort(out, [](const WayStatus& a, const WayStatus& b) { return a.in_use > b.in_use; });
  return out;
}

std::vector<PathEvent> PathFinder::events(Instant now) const {
  std::vector<PathEvent> out;
  for (const Event& e : events_) out.push_back({now - e.at, e.what});
  return out;
}

}  // namespace eps::mesh
