// SPDX-License-Identifier: MIT
#include "dataplane/commit.h"

#include <algorithm>
#include <iterator>

namespace eps::dataplane {

void Commit::merge(Commit&& later) {
  if (later.table) table = std::move(later.table);
  std::ranges::move(later.datagrams, std::back_inserter(datagrams));
  std::ranges::copy(later.closed_sides, std::back_inserter(closed_sides));
}

std::size_t execute(Commit commit, PublishedPeers& published, ports::UdpPort& udp) {
  if (commit.table) published.publish(std::move(commit.table));
  std::vector<ports::TxDatagram> out;
  for (const Commit::Datagrams& d : commit.datagrams) {
    out.push_back({d.to, d.bytes, d.segment_size, d.socket, d.bulk, d.whole});
  }
  const std::size_t sent = out.empty() ? 0 : udp.send(out);
  for (const ports::SocketId side : commit.closed_sides) udp.close_side(side);
  return ports::segments_of(std::span(out).subspan(sent));
}

std::size_t Outbox::send(std::span<const ports::TxDatagram> datagrams) {
  for (const ports::TxDatagram& d : datagrams) {
    kept_.datagrams.push_back({d.to, Bytes(d.bytes.begin(), d.bytes.end()), d.segment_size, d.socket, d.bulk, d.whole});
  }
  return datagrams.size();
}

}  // namespace eps::dataplane
