#include "os/privilege.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace eps::os {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct this_thread() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return header;
}

}  // namespace

bool has_net_admin() {
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  return (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

void drop_network_capabilities() {
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return;
  for (const int capability : {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE}) {
    __user_cap_data_struct& half = sets[CAP_TO_INDEX(capability)];
    const auto others = ~static_cast<__u32>(CAP_TO_MASK(capability));
    half.effective &= others;
    half.permitted &= others;
    half.inheritable &= others;  // and with it the ambient set
  }
  (void)::syscall(SYS_capset, &header, sets.data());  // less is always granted
}

Result<void> require_net_admin() {
  if (has_net_admin()) return {};
  return make_error(Errc::permission,
                    "eps-client may not create its network interface: it lacks CAP_NET_ADMIN; run it with sudo or "
                    "through its systemd unit (in a container: --cap-add=NET_ADMIN --device=/dev/net/tun)");
}

}  // namespace eps::os
