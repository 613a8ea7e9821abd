// SPDX-License-Identifier: MIT
#include <arpa/inet.h>
#include <natpmp.h>
#include <poll.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "os/clock.h"
#include "os/gateway_device.h"
#include "os/underlay_mark.h"

namespace eps::os {
namespace {

using std::chrono::milliseconds;

Error failed(const std::string& what, int code) {
  const auto error = code == NATPMP_ERR_NOTAUTHORIZED    ? " (the router does not allow it)"
                     : code == NATPMP_ERR_OUTOFRESOURCES ? " (the router has no room for it)"
                                                         : " (NAT-PMP error " + std::to_string(code) + ")";
  return make_error(Errc::unavailable, what + error);
}

class NatPmp final : public GatewayDevice {
 public:
  NatPmp(const Gateway& gateway, milliseconds timeout) : gateway_(gateway), timeout_(timeout) {}

  // Requests the external address; false if there is no answer or no address.
  bool ask_address() {
    const auto answer = exchange([](natpmp_t* session) { return sendpublicaddressrequest(session); });
    if (!answer) return false;
    external_ = {ntohl(answer->pnu.publicaddress.addr.s_addr)};
    return external_.value != 0;
  }

  Result<PortMapping> map(Transport transport, std::uint16_t port, std::uint16_t external_port,
                          std::chrono::seconds lease) override {
    lease_ = lease;
    if (made_.empty()) restarted_ = false;  // nothing of ours could be lost
    // What an earlier life or half a restart has left must not decide the order of the rules (see holds()).
    if (made_.insert({transport, port}).second) (void)request(transport, port, 0, std::chrono::seconds(0));
    const auto answer = request(transport, port, external_port, lease);
    if (!answer) return answer.error();
    PortMapping mapping{
        transport, port, {IpAddress::from_v4(external_), answer->pnu.newportmapping.mappedpublicport}, "NAT-PMP"};
    if (mapping.external.port == external_port) return mapping;
    unmap(mapping);
    return make_error(Errc::in_use, std::string(name_of(transport)) + " port " + std::to_string(external_port) +
                                        " of the router is taken");
  }

  // NAT-PMP cannot query a mapping, so this requests it again. If the router may have restarted, the mapping is removed
  // again and this object is of no more use, because all mappings must be made again in their order. (miniupnpd 2.3.1
  // with nftables loses a rule when it extends the mappings of one port in another order than it made them.)
  bool holds(const PortMapping& mapping) override {
    if (restarted_ || !ask_address() || restarted_) return false;
    if (mapping.external.ip != IpAddress::from_v4(external_)) return false;
    if (!map(mapping.transport, mapping.port, mapping.external.port, lease_)) return false;
    if (restarted_) unmap(mapping);
    return !restarted_;
  }

  void unmap(const PortMapping& mapping) override {
    (void)request(mapping.transport, mapping.port, 0, std::chrono::seconds(0));
  }

 private:
  Result<natpmpresp_t> request(Transport transport, std::uint16_t port, std::uint16_t external_port,
                               std::chrono::seconds lease) {
    return exchange([&](natpmp_t* session) {
      return sendnewportmappingrequest(session, transport == Transport::udp ? NATPMP_PROTOCOL_UDP : NATPMP_PROTOCOL_TCP,
                                       port, external_port, static_cast<std::uint32_t>(lease.count()));
    });
  }

  Result<natpmpresp_t> exchange(const std::function<int(natpmp_t*)>& send) {
    natpmp_t session;
    if (const int e = initnatpmp(&session, 1, htonl(gateway_.router.value)); e != 0) {
      return failed("cannot reach the router", e);
    }
    const std::unique_ptr<natpmp_t, int (*)(natpmp_t*)> closer(&session, closenatpmp);
    mark_underlay(session.s);
    if (const int e = send(&session); e < 0) return failed("cannot ask the router", e);
    const Instant end = now() + timeout_;
    for (;;) {
      timeval pause{};
      getnatpmprequesttimeout(&session, &pause);
      const auto until_retry = std::chrono::seconds(pause.tv_sec) + std::chrono::microseconds(pause.tv_usec);
      const auto left = std::min<Duration>(until_retry, end - now());
      pollfd readable{session.s, POLLIN, 0};
      // One millisecond more than less: too early is a turn for nothing.
      poll(&readable, 1, std::max(0, static_cast<int>(std::chrono::ceil<milliseconds>(left).count())));
      natpmpresp_t answer{};
      const int e = readnatpmpresponseorretry(&session, &answer);
      if (e == 0) {
        note_clock(answer.epoch);
        // A router that was silent for a moment may have restarted meanwhile. Its clock does not show it if it had not
        // run for long before.
        restarted_ |= session.try_number > 1;
        return answer;
      }
      if (e != NATPMP_TRYAGAIN) return failed("the router refuses", e);
      if (now() >= end) return make_error(Errc::unavailable, "the router does not answer");
    }
  }

  // RFC 6886, section 3.6: the router counts the seconds since it lost its mappings.
  void note_clock(std::uint32_t seconds) {
    const Instant at = now();
    if (clock_) {
      const auto least = std::chrono::seconds(clock_->first) + (at - clock_->second) * 7 / 8 - std::chrono::seconds(2);
      restarted_ |= std::chrono::seconds(seconds) < least;
    }
    clock_ = {seconds, at};
  }

  const Gateway gateway_;
  const milliseconds timeout_;
  std::optional<std::pair<std::uint32_t, Instant>> clock_;  // the router's, and when it said so
  bool restarted_ = false;                                  // perhaps
  std::set<std::pair<Transport, std::uint16_t>> made_;      // by this object
  Ip4 external_;
  std::chrono::seconds lease_{0};
};

}  // namespace

std::unique_ptr<GatewayDevice> find_nat_pmp(const Gateway& gateway, milliseconds timeout) {
  auto device = std::make_unique<NatPmp>(gateway, timeout);
  return device->ask_address() ? std::move(device) : nullptr;
}

}  // namespace eps::os
