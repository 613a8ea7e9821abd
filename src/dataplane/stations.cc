// SPDX-License-Identifier: MIT
#include "dataplane/stations.h"

namespace eps::dataplane {

void Stations::learn(const Mac& station, const Mac& via, Instant now) {
  const Lock lock(mutex_);
  const auto known = places_.find(station);
  if (known != places_.end() && known->second->via == via) {
    Heard& heard = behind_[via];
    known->second->seen = now;
    heard.splice(heard.end(), heard, known->second);
    return;
  }
  erase(station);
  Heard& heard = behind_[via];
  if (heard.size() >= kMaxStations) {
    places_.erase(heard.front().mac);
    heard.pop_front();
  }
  heard.push_back({station, via, now});
  places_[station] = std::prev(heard.end());
}

void Stations::forget(const Mac& station) {
  const Lock lock(mutex_);
  erase(station);
}

void Stations::erase(const Mac& station) {
  const auto known = places_.find(station);
  if (known == places_.end()) return;
  const auto heard = behind_.find(known->second->via);
  heard->second.erase(known->second);
  if (heard->second.empty()) behind_.erase(heard);
  places_.erase(known);
}

std::optional<Mac> Stations::where(const Mac& station, Instant now) const {
  const Lock lock(mutex_);
  const auto known = places_.find(station);
  if (known == places_.end() || now - known->second->seen > kStationLife) return std::nullopt;
  return known->second->via;
}

}  // namespace eps::dataplane
