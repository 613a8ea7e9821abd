// SPDX-License-Identifier: MIT

// The attacker of bench/flood: sends datagrams at a steady rate from ever other forged sources, over a raw socket, so
// that it costs the computer as little as possible.
//
//   flood_load ADDRESS PORT KIND RATE SECONDS PUBLIC-KEY
//
// KIND: noise (no datagram of ours), data (a session that does not exist), unsigned (an initiation with a wrong mac1),
// or signed (one whose mac1 is right, as anybody can make it who knows the public key).

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "noise/cookie.h"
#include "os/os_rng.h"
#include "os/unique_fd.h"
#include "wire/datagram.h"

namespace eps {
namespace {

constexpr std::size_t kPatterns = 256;  // different datagrams, used by turns
constexpr std::size_t kNoiseBody = 100;
constexpr std::size_t kBodyOfInitiation = 200;
constexpr std::uint32_t kSources = 0x0a420000;  // 10.66.0.0/16

struct Packet {
  iphdr ip{};
  udphdr udp{};
  Bytes body;
};

Bytes make_body(std::string_view kind, const PublicKey& victim, Rng& rng) {
  if (kind == "noise") {
    Bytes out(kNoiseBody);
    rng.fill(out);
    out[0] = std::byte{0xff};
    return out;
  }
  if (kind == "data") {
    Bytes out(kNoiseBody);
    rng.fill(out);
    wire::put_data_header(out.data(), {static_cast<std::uint32_t>(rng.below(wire::kMaxIndex)), 1});
    return out;
  }
  Bytes noise(kBodyOfInitiation);
  rng.fill(noise);
  Bytes out = wire::make_initiation(static_cast<std::uint32_t>(rng.below(wire::kMaxIndex)), noise);
  noise::CookieJar(victim).append_macs(out, Instant{});
  if (kind == "unsigned") out[out.size() - 2 * wire::kMacSize] ^= std::byte{1};
  return out;
}

int run(char** argument) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  const std::string_view kind = argument[3];
  const double rate = std::atof(argument[4]);
  const auto length = std::chrono::duration<double>(std::atof(argument[5]));
  const auto key = from_base32(argument[6]);
  if (::inet_pton(AF_INET, argument[1], &to.sin_addr) != 1 || !key || key->size() != 32 || rate < 1) {
    std::fputs("flood_load: an address, port, kind, rate, time or public key is not one\n", stderr);
    return 2;
  }
  PublicKey victim;
  std::ranges::copy(*key, victim.bytes.begin());
  os::OsRng rng;
  const os::UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!fd) {
    std::perror("flood_load: cannot open a raw socket");
    return 1;
  }
  std::vector<Packet> packets(kPatterns);
  std::vector<std::array<iovec, 3>> parts(kPatterns);
  std::vector<mmsghdr> messages(kPatterns);
  for (std::size_t i = 0; i < kPatterns; ++i) {
    Packet& packet = packets[i];
    packet.body = make_body(kind, victim, rng);
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.udp.dest = htons(static_cast<std::uint16_t>(std::atoi(argument[2])));
    packet.udp.len = htons(static_cast<std::uint16_t>(sizeof(udphdr) + packet.body.size()));
    parts[i] = {
        {{&packet.ip, sizeof(packet.ip)}, {&packet.udp, sizeof(packet.udp)}, {packet.body.data(), packet.body.size()}}};
    messages[i].msg_hdr = {&to, sizeof(to), parts[i].data(), parts[i].size(), nullptr, 0, 0};
  }
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::minstd_rand random(rng.u32());
  std::size_t sent = 0;
  for (auto now = begin; now - begin < length; now = Clock::now()) {
    const auto due = static_cast<std::size_t>(std::chrono::duration<double>(now - begin).count() * rate);
    const std::size_t count = std::min(due - sent, kPatterns);
    for (std::size_t i = 0; i < count; ++i) {
      packets[i].ip.saddr = htonl(kSources | (random() & 0xffff));
      packets[i].udp.source = htons(static_cast<std::uint16_t>(1024 + random() % 60'000));
    }
    if (count > 0) {
      const int done = ::sendmmsg(fd.get(), messages.data(), static_cast<unsigned>(count), 0);
      if (done < 0 && errno != ENOBUFS) {
        std::perror("flood_load: cannot send");
        return 1;
      }
    }
    sent += count;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::printf("%zu\n", sent);
  return 0;
}

}  // namespace
}  // namespace eps

int main(int count, char** arguments) {
  if (count != 7) {
    std::fputs("usage: flood_load ADDRESS PORT KIND RATE SECONDS PUBLIC-KEY\n", stderr);
    return 2;
  }
  return eps::run(arguments);
}
