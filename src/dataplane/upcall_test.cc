// SPDX-License-Identifier: MIT
#include "dataplane/upcall.h"

#include <gtest/gtest.h>

namespace eps::dataplane {
namespace {

int fill(Upcalls& upcalls, const Upcall& with) {
  int n = 0;
  while (upcalls.add(with)) ++n;
  return n;
}

TEST(Upcalls, NoKindCrowdsOutAnother) {
  const std::vector<Upcall> kinds = {HandshakeDatagram{}, PathControl{}, NeedSession{},    SessionConfirmed{},
                                     UnknownSession{},    PeerWoke{},    HeardElsewhere{}, RelayWanted{}};
  Upcalls upcalls;
  std::vector<int> room;
  for (const Upcall& kind : kinds) room.push_back(fill(upcalls, kind));
  upcalls.take();
  for (std::size_t i = kinds.size(); i-- > 0;) EXPECT_EQ(fill(upcalls, kinds[i]), room[i]) << i;
}

TEST(Upcalls, UnrepeatedUpcallsHaveRoomForEveryMember) {
  Upcalls upcalls;
  EXPECT_EQ(fill(upcalls, SessionConfirmed{}), static_cast<int>(kMaxMembers));
  EXPECT_EQ(fill(upcalls, PeerWoke{}), static_cast<int>(kMaxMembers));
}

}  // namespace
}  // namespace eps::dataplane
