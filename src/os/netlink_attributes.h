// SPDX-License-Identifier: MIT
#pragma once

// Reading the attributes of rtnetlink messages. (libmnl's own loops are not C++.)

#include <libmnl/libmnl.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/types.h"

namespace eps::os {

inline constexpr std::uint16_t kAddressProtocol = 11;  // IFA_PROTO, from Linux 5.18 on

// Calls `each(type, attribute)` for the attributes from `first` to `end`.
template <class Each>
void for_each_between(const void* first, const char* end, Each&& each) {
  for (auto* attribute = static_cast<const nlattr*>(first);
       mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    each(mnl_attr_get_type(attribute), attribute);
  }
}
// The attributes behind a message's family header, or inside another attribute.
template <class Family, class Each>
void for_each_attribute(const nlmsghdr* message, Each&& each) {
  for_each_between(mnl_nlmsg_get_payload_offset(message, sizeof(Family)),
                   static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)), each);
}
template <class Each>
void for_each_nested(const nlattr* outer, Each&& each) {
  const auto* first = static_cast<const char*>(mnl_attr_get_payload(outer));
  for_each_between(first, first + mnl_attr_get_payload_len(outer), each);
}

template <class T>
T number_of(const nlattr* attribute) {
  T value{};
  if (mnl_attr_get_payload_len(attribute) >= sizeof(T)) std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(T));
  return value;
}

inline std::optional<IpAddress> ip_of(const nlattr* attribute) {
  const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(attribute));
  IpAddress ip;
  switch (mnl_attr_get_payload_len(attribute)) {
    case 4:
      return IpAddress::from_v4({load_be32(bytes)});
    case 16:
      std::copy_n(bytes, 16, ip.bytes.begin());
      return ip;
    default:
      return std::nullopt;
  }
}

}  // namespace eps::os
