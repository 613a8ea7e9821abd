// SPDX-License-Identifier: MIT
#include "node/known_keys.h"

namespace eps::node {

bool KnownKeys::bind(const PublicKey& key, MemberId id, Ip4 address, const std::string& name) {
  Position home = kNone;
  for (const Position at : {ids_.find(records_, id), addresses_.find(records_, address), names_.find(records_, name)}) {
    if (at != kNone && records_[at].key == key) home = at;
  }
  bool changed = bind(ids_, key, id, home);
  changed |= bind(addresses_, key, address, home);
  changed |= bind(names_, key, name, home);
  return changed;
}

// `home`: a record of this key, where there is one; it takes the value, or a new one becomes the home.
template <auto kField, class Value>
bool KnownKeys::bind(Index<kField>& index, const PublicKey& key, const Value& value, Position& home) {
  if (value == Value{}) return false;
  const Position at = index.find(records_, value);
  if (at != kNone && records_[at].key == key) return false;
  if (home == kNone || records_[home].*kField != Value{}) home = new_record(key);
  if (at != kNone) {
    index.erase(records_, at);
    if (records_[at].empty()) free_.push_back(at);
  }
  index.insert(records_, home, value);
  return true;
}

KnownKeys::Position KnownKeys::new_record(const PublicKey& key) {
  if (free_.empty()) {
    records_.push_back({key, {}, {}, {}});
    return static_cast<Position>(records_.size() - 1);
  }
  const Position at = free_.back();
  free_.pop_back();
  records_[at].key = key;
  return at;
}

void KnownKeys::collect() {
  free_.clear();
  for (Position at = 0; at < records_.size(); ++at) {
    if (records_[at].empty()) free_.push_back(at);
  }
}

std::vector<KnownKeys::Position> KnownKeys::by_key() const {
  std::vector<Position> order;
  for (Position at = 0; at < records_.size(); ++at) {
    if (!records_[at].empty()) order.push_back(at);
  }
  std::ranges::sort(order, {}, [&](Position at) -> const PublicKey& { return records_[at].key; });
  return order;
}

void KnownKeys::add(Names& known, const Record& record) {
  if (record.id != MemberId{}) known.ids.insert(record.id);
  if (record.address != Ip4{}) known.addresses.insert(record.address);
  if (!record.name.empty()) known.names.insert(record.name);
}

}  // namespace eps::node
