// SPDX-License-Identifier: MIT
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>

#include <array>
#include <string_view>

#include "os/gateway_device.h"

namespace eps::os {
namespace {

constexpr int kOnlyPermanentLeases = 725;
constexpr std::array<int, 2> kTaken = {718, 724};  // conflict with another mapping; the router maps equal ports only
constexpr unsigned char kTtl = 2;                  // of the multicast, as UPnP recommends

using Devices = std::unique_ptr<UPNPDev, void (*)(UPNPDev*)>;

// The host of "http://192.168.1.1:5000/rootDesc.xml".
std::string_view host_of(std::string_view url) {
  const std::size_t at = url.find("://");
  if (at == std::string_view::npos) return {};
  url.remove_prefix(at + 3);
  return url.substr(0, url.find_first_of(":/"));
}

// Only the devices at `host`.
Devices devices_at(Devices all, std::string_view host) {
  Devices wanted(nullptr, freeUPNPDevlist);
  for (UPNPDev* device = all.release(); device != nullptr;) {
    UPNPDev* const next = device->pNext;
    device->pNext = nullptr;
    Devices one(device, freeUPNPDevlist);
    if (host_of(device->descURL) == host) {
      one->pNext = wanted.release();
      wanted = std::move(one);
    }
    device = next;
  }
  return wanted;
}

std::string text_of(int code) {
  const char* const text = strupnperror(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

class Upnp final : public GatewayDevice {
 public:
  Upnp() = default;
  ~Upnp() override { FreeUPNPUrls(&urls_); }
  Upnp(const Upnp&) = delete;
  Upnp& operator=(const Upnp&) = delete;

  bool connect(UPNPDev* devices) {
    constexpr int kConnected = 1;
    return UPNP_GetValidIGD(devices, &urls_, &data_, local_.data(), static_cast<int>(local_.size())) == kConnected;
  }

  Result<PortMapping> map(Transport transport, std::uint16_t port, std::uint16_t external_port,
                          std::chrono::seconds lease) override {
    PortMapping mapping{transport, port, {IpAddress{}, external_port}, "UPnP"};
    const auto ip = external_address();
    if (!ip) return make_error(Errc::unavailable, "the router reports no external address");
    mapping.external.ip = *ip;
    // Some routers give a port to whoever asks last.
    if (const auto owner = owner_of(mapping); !owner.empty() && owner != us(mapping)) {
      return taken(mapping, "by " + owner);
    }
    int code = add(mapping, lease);
    if (code == kOnlyPermanentLeases) code = add(mapping, std::chrono::seconds(0));
    if (code == kTaken[0] || code == kTaken[1]) return taken(mapping, "(" + text_of(code) + ")");
    if (code != UPNPCOMMAND_SUCCESS) {
      return make_error(Errc::unavailable, "the router refuses to forward " + std::string(name_of(transport)) +
                                               " port " + std::to_string(external_port) + " (" + text_of(code) + ")");
    }
    return mapping;
  }

  bool holds(const PortMapping& mapping) override {
    return owner_of(mapping) == us(mapping) && external_address() == mapping.external.ip;
  }

  void unmap(const PortMapping& mapping) override {
    UPNP_DeletePortMapping(urls_.controlURL, data_.first.servicetype, std::to_string(mapping.external.port).c_str(),
                           name_of(mapping.transport), nullptr);
  }

 private:
  static Error taken(const PortMapping& mapping, const std::string& by) {
    return make_error(Errc::in_use, std::string(name_of(mapping.transport)) + " port " +
                                        std::to_string(mapping.external.port) + " of the router is taken " + by);
  }

  int add(const PortMapping& mapping, std::chrono::seconds lease) {
    return UPNP_AddPortMapping(urls_.controlURL, data_.first.servicetype, std::to_string(mapping.external.port).c_str(),
                               std::to_string(mapping.port).c_str(), local_.data(), "EPS Conduits",
                               name_of(mapping.transport), nullptr, std::to_string(lease.count()).c_str());
  }

  std::optional<IpAddress> external_address() {
    std::array<char, 64> text{};
    if (UPNP_GetExternalIPAddress(urls_.controlURL, data_.first.servicetype, text.data()) != UPNPCOMMAND_SUCCESS) {
      return std::nullopt;
    }
    const auto ip = parse_ip(text.data());
    return ip && ip->is_v4() && !ip->is_unspecified() ? ip : std::nullopt;
  }

  std::string us(const PortMapping& mapping) const {
    return std::string(local_.data()) + ":" + std::to_string(mapping.port);
  }
  // The address and port that the router forwards to; "": to none.
  std::string owner_of(const PortMapping& mapping) {
    std::array<char, 64> client{}, port{}, enabled{}, lease{};
    std::array<char, 128> description{};
    const int code = UPNP_GetSpecificPortMappingEntry(urls_.controlURL, data_.first.servicetype,
                                                      std::to_string(mapping.external.port).c_str(),
                                                      name_of(mapping.transport), nullptr, client.data(), port.data(),
                                                      description.data(), enabled.data(), lease.data());
    return code == UPNPCOMMAND_SUCCESS ? std::string(client.data()) + ":" + port.data() : "";
  }

  UPNPUrls urls_{};
  IGDdatas data_{};
  std::array<char, 64> local_{};  // our address as the router's neighbour
};

}  // namespace

std::unique_ptr<GatewayDevice> find_upnp(const Gateway& gateway, std::chrono::milliseconds timeout) {
  static constexpr std::array<const char*, 5> kTypes = {
      "urn:schemas-upnp-org:device:InternetGatewayDevice:2", "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
      "urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANPPPConnection:1", nullptr};
  // All questions at once; the answers are collected until none came for `timeout`.
  int error = 0;
  Devices found(upnpDiscoverDevices(kTypes.data(), static_cast<int>(timeout.count()), to_string(gateway.local).c_str(),
                                    nullptr, UPNP_LOCAL_PORT_ANY, 0, kTtl, &error, 1),
                freeUPNPDevlist);
  const Devices routers = devices_at(std::move(found), to_string(gateway.router));
  auto device = std::make_unique<Upnp>();
  return routers && device->connect(routers.get()) ? std::move(device) : nullptr;
}

}  // namespace eps::os
