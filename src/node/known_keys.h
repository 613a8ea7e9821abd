// SPDX-License-Identifier: MIT
#pragma once

// The keys by which members are known: one for each member number, address and name; a key may have several of each.
// About 100 bytes for a member with one of each, as a network may have 10,000: a record, and an index of each kind
// that holds positions in order.
//
// Thread rules: one thread at a time.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/types.h"

namespace eps::node {

class KnownKeys {
 public:
  // Null: there is none. Valid until the next change.
  const PublicKey* find(MemberId id) const { return key_at(ids_.find(records_, id)); }
  const PublicKey* find(Ip4 address) const { return key_at(addresses_.find(records_, address)); }
  const PublicKey* find(const std::string& name) const { return key_at(names_.find(records_, name)); }

  // Binds each that is not zero or empty to the key, whatever it was bound to before. Whether anything has changed.
  bool bind(const PublicKey& key, MemberId id, Ip4 address, const std::string& name);

  // Forgets what the functions reject: bool(MemberId), bool(Ip4), bool(const std::string&).
  template <class KeepId, class KeepAddress, class KeepName>
  void keep_if(KeepId keep_id, KeepAddress keep_address, KeepName keep_name) {
    ids_.keep_if(records_, keep_id);
    addresses_.keep_if(records_, keep_address);
    names_.keep_if(records_, keep_name);
    collect();
  }

  std::size_t ids() const { return ids_.size(); }
  // The largest number of one kind.
  std::size_t size() const { return std::max({ids_.size(), addresses_.size(), names_.size()}); }

  struct Names {
    std::set<MemberId> ids;
    std::set<Ip4> addresses;
    std::set<std::string> names;
  };
  // visit(const PublicKey&, const Names&) for each key, in order.
  template <class Visit>
  void for_each(Visit visit) const {
    const std::vector<Position> order = by_key();
    for (std::size_t i = 0; i < order.size();) {
      const PublicKey& key = records_[order[i]].key;
      Names known;
      for (; i < order.size() && records_[order[i]].key == key; ++i) add(known, records_[order[i]]);
      visit(key, known);
    }
  }

 private:
  using Position = std::uint32_t;  // in records_
  static constexpr Position kNone = UINT32_MAX;

  // One with nothing left is free.
  struct Record {
    PublicKey key;
    MemberId id;       // 0: none
    Ip4 address;       // 0: none
    std::string name;  // empty: none
    bool empty() const { return id == MemberId{} && address == Ip4{} && name.empty(); }
  };
  using Records = std::deque<Record>;

  // The records that have this field, by its value.
  template <auto kField>
  class Index {
   public:
    template <class Value>
    Position find(const Records& records, const Value& value) const {
      const auto it = place(records, value);
      return it == order_.end() || records[*it].*kField != value ? kNone : *it;
    }
    template <class Value>
    void insert(Records& records, Position at, const Value& value) {
      order_.insert(place(records, value), at);
      records[at].*kField = value;
    }
    void erase(Records& records, Position at) {
      order_.erase(place(records, records[at].*kField));
      records[at].*kField = {};
    }
    template <class Keep>
    void keep_if(Records& records, Keep keep) {
      std::erase_if(order_, [&](Position at) {
        if (keep(records[at].*kField)) return false;
        records[at].*kField = {};
        return true;
      });
    }
    std::size_t size() const { return order_.size(); }

   private:
    template <class Value>
    std::vector<Position>::const_iterator place(const Records& records, const Value& value) const {
      return std::ranges::lower_bound(
          order_, value, std::less<>(), [&](Position at) -> const auto& { return records[at].*kField; });
    }
    std::vector<Position> order_;
  };

  const PublicKey* key_at(Position at) const { return at == kNone ? nullptr : &records_[at].key; }
  template <auto kField, class Value>
  bool bind(Index<kField>& index, const PublicKey& key, const Value& value, Position& home);
  Position new_record(const PublicKey& key);
  // Finds the free records.
  void collect();
  // The records in use.
  std::vector<Position> by_key() const;
  static void add(Names& known, const Record& record);

  Records records_;
  std::vector<Position> free_;
  Index<&Record::id> ids_;
  Index<&Record::address> addresses_;
  Index<&Record::name> names_;
};

}  // namespace eps::node
