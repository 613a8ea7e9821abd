// SPDX-License-Identifier: MIT

// Runs a script of datagrams through a simulated NAT and reports what arrived where, so that the same can be done with
// a real one and compared (test/netns/test_nat_conformance.py).
//
//     eps_sim_nat_scenario KIND < SCRIPT       KIND: preserving, random, cone, hairpin, double, firewall
//
//     send FROM TO        FROM: a socket, host:port; hosts a and b are inside, all others outside
//                         TO: a socket; wan:port; or @SOCKET/SEEN, the endpoint by which SEEN last saw SOCKET
//     flush               the NAT (of two, the inner one) forgets its mappings
//     wait SECONDS
//
// One line per step: "RECEIVER HOST:PORT" with the source that the receiver saw, "lost", or "-".

#include <iostream>
#include <sstream>

#include "sim/network.h"
#include "support/seeded_rng.h"

namespace eps::sim {
namespace {

constexpr Duration kTimeout = std::chrono::seconds(4);

// Linux with nftables: every flow has its own mapping, and answers keep it open as well.
NatBehaviour linux_nat(PortAllocation ports) {
  return {.mapping = Dependence::address_and_port_dependent,
          .filtering = Dependence::address_and_port_dependent,
          .ports = ports,
          .hairpinning = Hairpinning::none,
          .inbound_refreshes = true,
          .translates = true,
          .timeout = kTimeout};
}

class Scenario {
 public:
  explicit Scenario(const std::string& kind) : v6_(kind == "firewall") {
    NatBehaviour nat = linux_nat(kind == "random" ? PortAllocation::random : PortAllocation::preserving);
    if (kind == "hairpin") nat.hairpinning = Hairpinning::forwarded;
    const RealmId outer = kind == "double" ? network_.add_realm(kInternet, nat) : kInternet;
    inside_ = v6_ ? network_.add_realm(outer, std::nullopt, nat) : network_.add_realm(outer, nat);
    wan_ = kind == "double" ? outer : inside_;
    for (const std::string name : {"a", "b"}) host_of(name);
    if (kind != "cone" && kind != "hairpin") return;
    for (std::uint16_t port = 40000; port < 42000; ++port) {
      const HostId host = host_of(port < 41000 ? "a" : "b");
      network_.nat(inside_).forward(port, {network_.addresses(host).front(), port});
    }
  }

  std::string run(const std::string& line) {
    std::istringstream words(line);
    std::string what, first, second;
    words >> what >> first >> second;
    if (what == "flush") (v6_ ? network_.firewall(inside_) : network_.nat(inside_)).rebind();
    if (what == "wait") pass(std::chrono::seconds(std::stoi(first)));
    if (what != "send") return "-";
    const auto to = target(second);
    if (!to) return "-";
    SimUdp& from = socket(first);
    const std::byte byte{1};
    const ports::TxDatagram datagram{*to, {&byte, 1}, 0};
    from.send({&datagram, 1});
    pass(std::chrono::milliseconds(10));
    std::array<ports::RxDatagram, 2> in;
    for (const auto& [name, receiver] : sockets_) {
      if (receiver->receive(in) == 0) continue;
      seen_[first + "/" + name] = in[0].from;
      return name + " " + name_of(in[0].from);
    }
    return "lost";
  }

 private:
  HostId host_of(const std::string& name) {
    const auto it = hosts_.find(name);
    if (it != hosts_.end()) return it->second;
    const RealmId realm = name == "a" || name == "b" ? inside_ : kInternet;
    return hosts_[name] = network_.add_host(realm, {v6_ ? network_.new_ip6(realm) : network_.new_ip4(realm)});
  }

  SimUdp& socket(const std::string& name) {
    auto& udp = sockets_[name];
    if (!udp) {
      const auto port = static_cast<std::uint16_t>(std::stoi(name.substr(name.find(':') + 1)));
      udp = std::make_unique<SimUdp>(network_, host_of(name.substr(0, name.find(':'))), port);
      network_.attach(*udp);
    }
    return *udp;
  }

  std::optional<Endpoint> target(const std::string& name) {
    if (name.starts_with('@')) {
      const auto it = seen_.find(name.substr(1));
      return it == seen_.end() ? std::nullopt : std::optional(it->second);
    }
    const std::string host = name.substr(0, name.find(':'));
    const auto port = static_cast<std::uint16_t>(std::stoi(name.substr(host.size() + 1)));
    if (host == "wan") return Endpoint{network_.nat(wan_).external(), port};
    socket(name);
    return Endpoint{network_.addresses(host_of(host)).front(), port};
  }

  std::string name_of(const Endpoint& endpoint) {
    const std::string port = ":" + std::to_string(endpoint.port);
    for (const auto& [name, host] : hosts_) {
      if (network_.addresses(host).front() == endpoint.ip) return name + port;
    }
    return "wan" + port;
  }

  void pass(Duration time) {
    for (const Instant until = clock_.now() + time; clock_.step(until);) {
    }
  }

  ClockQueue clock_;
  test::SeededRng rng_{1};
  Network network_{clock_, rng_};
  bool v6_;
  RealmId inside_ = 0;
  RealmId wan_ = 0;
  std::map<std::string, HostId> hosts_;
  std::map<std::string, std::unique_ptr<SimUdp>> sockets_;
  std::map<std::string, Endpoint> seen_;
};

}  // namespace
}  // namespace eps::sim

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "Usage: " << argv[0] << " KIND < SCRIPT\n";
    return 2;
  }
  eps::sim::Scenario scenario(argv[1]);
  for (std::string line; std::getline(std::cin, line);) std::cout << scenario.run(line) << '\n';
}
