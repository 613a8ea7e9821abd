// SPDX-License-Identifier: MIT

// Leases at a real router, miniupnpd, which forgets a mapping when its lease is over.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include "os/clock.h"
#include "os/netns_fixture.h"
#include "os/port_mapper.h"
#include "os/temporary_directory.h"

namespace eps::os {
namespace {

using namespace std::chrono_literals;

// The WAN looks public, as miniupnpd refuses to map behind a private address.
constexpr const char* kRouter = R"(echo $$ > pid
until ip link show lan; do sleep 0.05; done
ip link set lo up
ip addr add 192.168.50.1/24 dev lan
ip link set lan up
ip link add wan type bridge
ip addr add 11.77.0.1/24 dev wan
ip link set wan up
nft 'table inet filter {
  chain forward { type filter hook forward priority 0; jump miniupnpd; }
  chain prerouting { type nat hook prerouting priority -100; jump nat_in; }
  chain postrouting { type nat hook postrouting priority 100; jump nat_out; }
  chain miniupnpd { }
  chain nat_in { }
  chain nat_out { }
}'
cat > conf <<END
ext_ifname=wan
listening_ip=lan
enable_upnp=yes
enable_natpmp=yes
secure_mode=yes
system_uptime=no
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=nat_in
upnp_nat_postrouting_chain=nat_out
uuid=c9c8b8d2-7d7b-4b3c-9d8e-5d1f0b3a7e12
allow 1024-65535 192.168.50.0/24 1024-65535
END
miniupnpd -d -f conf -P daemon_pid > said 2>&1 &
daemon=$!
)";

class GatewayLeaseTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (IsSkipped()) return;
    if (!shell("command -v miniupnpd && command -v nft")) GTEST_SKIP() << "no miniupnpd";
    // The shell in a namespace of its own ends with what it reads.
    router_ = ::popen(("cd " + dir_.path() + " && exec unshare -n sh >/dev/null 2>&1").c_str(), "w");
    ASSERT_NE(router_, nullptr);
    tell(kRouter);
    for (int i = 0; i < 100 && pid_.empty(); ++i) {
      std::this_thread::sleep_for(50ms);
      std::ifstream(dir_.path() + "/pid") >> pid_;
    }
    ASSERT_TRUE(shell("ip link add eth0 type veth peer name lan netns " + pid_ +
                      " && ip addr add 192.168.50.2/24 dev eth0 && ip link set eth0 up && "
                      "ip route add default via 192.168.50.1"));
  }
  void TearDown() override {
    if (router_ == nullptr) return;
    tell("kill $daemon; wait\n");
    ::pclose(router_);
  }
  void tell(const char* commands) {
    std::fputs(commands, router_);
    std::fflush(router_);
  }
  // The rule of this port that sends to us.
  bool forwards(std::uint16_t port) const {
    const std::string rules = output_of("nsenter -t " + pid_ + " -n nft -n list chain inet filter nat_in");
    return rules.find("dport " + std::to_string(port) + " dnat") != std::string::npos;
  }

  bool forwards_soon(std::uint16_t port) const {
    bool found = forwards(port);
    for (int i = 0; i < 50 && !found; ++i) {
      std::this_thread::sleep_for(100ms);
      found = forwards(port);
    }
    return found;
  }
  // The rule cannot tell: the router extends a lease by taking the rule away and making it anew.
  bool expired(std::uint16_t port) const {
    const std::string line = "remove port mapping " + std::to_string(port) + " TCP because it has expired";
    return output_of("cat " + dir_.path() + "/said").find(line) != std::string::npos;
  }

  TemporaryDirectory dir_;
  FILE* router_ = nullptr;
  std::string pid_;
};

TEST_F(GatewayLeaseTest, IsExtendedBeforeItEnds) {
  using Find = std::unique_ptr<GatewayDevice> (*)(const Gateway&, std::chrono::milliseconds);
  const Gateway gateway{0, {0xc0a83201}, {0xc0a83202}};
  std::vector<std::unique_ptr<PortMapper>> mappers;
  std::vector<std::uint16_t> kept, left;
  std::uint16_t port = 5000;
  for (const Find find : {Find(find_upnp), Find(find_nat_pmp)}) {
    std::unique_ptr<GatewayDevice> device;
    for (int i = 0; i < 20 && !device; ++i) device = find(gateway, 500ms);
    ASSERT_TRUE(device) << "the router answers";
    must(device->map(Transport::tcp, port, port, 3s));
    left.push_back(port++);
    PortMapperOptions options;
    options.ports = {{Transport::tcp, port}};
    options.lease = 4s;
    options.check = 1h;
    options.gateway = [gateway] { return gateway; };
    options.find = find;
    mappers.push_back(std::make_unique<PortMapper>(std::move(options), [](const PortMapper::Report&) {}));
    kept.push_back(port++);
  }
  for (const std::uint16_t p : kept) ASSERT_TRUE(forwards_soon(p)) << p;
  std::this_thread::sleep_for(10s);
  for (const std::uint16_t p : kept) EXPECT_TRUE(forwards_soon(p) && !expired(p)) << p;
  for (const std::uint16_t p : left) {
    EXPECT_TRUE(expired(p)) << p << ": the router forgets what nobody extends";
    EXPECT_FALSE(forwards(p)) << p;
  }
  mappers.clear();
  for (const std::uint16_t p : kept) EXPECT_FALSE(forwards(p)) << p << ": taken away at the end";
}

}  // namespace
}  // namespace eps::os
