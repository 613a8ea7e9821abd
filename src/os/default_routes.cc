// SPDX-License-Identifier: MIT
#include "os/default_routes.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <optional>
#include <string_view>

namespace eps::os {
namespace {

// What the kernel counts or lets expire is left out: a router's repeated advertisement changes nothing.
std::optional<std::string> text_of(const nlmsghdr* message, int own) {
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (info->rtm_type != RTN_UNICAST || info->rtm_dst_len > 1 || (info->rtm_flags & RTM_F_CLONED) != 0) {
    return std::nullopt;
  }
  std::string out = std::to_string(info->rtm_family) + "/" + std::to_string(info->rtm_dst_len);
  bool ours = false;
  const char* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, sizeof(rtmsg)));
       mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    const auto type = mnl_attr_get_type(attribute);
    const std::string_view value(static_cast<const char*>(mnl_attr_get_payload(attribute)),
                                 mnl_attr_get_payload_len(attribute));
    switch (type) {
      case RTA_OIF:
        ours = own != 0 && mnl_attr_get_u32(attribute) == static_cast<std::uint32_t>(own);
        [[fallthrough]];
      case RTA_DST:
      case RTA_TABLE:
      case RTA_PREFSRC:
      case RTA_PRIORITY:
      case RTA_GATEWAY:
      case RTA_VIA:
      case RTA_MULTIPATH:
        out.append(" ").append(std::to_string(type)).append("=").append(value);
        break;
      default:
        break;
    }
  }
  if (ours) return std::nullopt;
  return out;
}

}  // namespace

Result<std::set<std::string>> default_routes(NetlinkSocket& socket, int own) {
  std::set<std::string> all;
  for (const unsigned char family : {AF_INET, AF_INET6}) {
    NetlinkMessage request(RTM_GETROUTE, 0);
    request.family<rtmsg>().rtm_family = family;
    auto dumped = socket.dump(request, "list the routes", [&](const nlmsghdr* message) {
      if (message->nlmsg_type != RTM_NEWROUTE) return;
      if (auto text = text_of(message, own)) all.insert(std::move(*text));
    });
    if (!dumped && family == AF_INET) return dumped.error();  // a kernel may lack IPv6
  }
  return all;
}

}  // namespace eps::os
