#pragma once

// The machine's network configuration through rtnetlink: ours is set, the other interfaces' is only read.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/netlink.h"
#include "ports/link.h"

namespace eps::os {

// Frames that wait in the TAP device for us to read them. Bounded, as they are delay: 500 full frames of 1400 bytes
// are 0.7 MB, a millisecond at 6 Gbit/s. (Super-frames count as one.)
inline constexpr std::uint32_t kTxQueueLength = 500;

// An interface as the kernel lists it.
struct Interface {
  int index = 0;
  std::string name;
  std::string kind;    // "bridge", "tun", "veth"; "" for hardware
  unsigned flags = 0;  // IFF_UP...
  Mac mac;
  std::uint32_t mtu = 0;
  std::uint32_t tx_queue_length = 0;
  int addr_gen_mode = -1;  // of IPv6; -1 where the kernel has none
};

// An address on an interface.
struct InterfaceAddress {
  int index = 0;
  IpAddress address;
  std::uint8_t prefix = 0;  // of the address's own family
  std::uint32_t flags = 0;  // IFA_F_TENTATIVE...
};

class NetlinkLink final : public ports::LinkPort {
 public:
  // `device`: the name of the EPS interface, which exists by the time of configure().
  static Result<std::unique_ptr<NetlinkLink>> open(std::string device);

  Result<void> configure(const ports::LinkConfig& config) override;
  std::vector<IpAddress> local_addresses() override;

 private:
  NetlinkLink(std::string device, NetlinkSocket socket);
  Result<std::vector<Interface>> interfaces();
  Result<std::vector<InterfaceAddress>> addresses(unsigned char family);
  Result<void> check_collision(const ports::LinkConfig& config, int own, const std::vector<Interface>& all);
  Result<void> configure_link(const ports::LinkConfig& config, const Interface& own);
  Result<void> configure_address(const ports::LinkConfig& config, int own);
  Result<void> ensure_route(const ports::LinkConfig& config, int own);

  const std::string device_;
  NetlinkSocket socket_;
};

// Whether `name` of this kind is a bridge that container or VM software made for machines inside this one: its address
// means nothing to other computers. A veth is not: inside a container it is the way out.
bool is_container_bridge(const std::string& name, const std::string& kind);

}  // namespace eps::os
