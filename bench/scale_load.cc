// SPDX-License-Identifier: MIT

// The load of bench/scale: N members of one network in one process, each with its own control connection, real
// handshakes and real messages, from its own address in 127.0.0.0/8. Each sends the candidates, pings and bind requests
// that eps-client sends. It takes commands as lines on stdin, and answers each with one line of JSON.
//
// Every hundredth member is a complete control::ClientConnection, which stores and verifies the list. The others open
// every frame and read the messages that are small enough to matter, but store no list: N lists of N members would not
// fit into memory.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <queue>
#include <string>

#include "base/check.h"
#include "control/client_connection.h"
#include "control/network_key.h"
#include "node/client_node.h"
#include "os/clock.h"
#include "os/os_rng.h"
#include "wire/control_messages.h"
#include "wire/datagram.h"

namespace eps {
namespace {

constexpr std::size_t kWholeEvery = 100;     // one member in so many holds the list
constexpr std::size_t kReadUpTo = 1000;      // bytes: the others read messages no larger than this
constexpr std::uint16_t kDataPort = 40'000;  // the source of all bind requests

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

struct Totals {
  std::uint64_t bytes_received = 0;
  std::uint64_t timeouts = 0;  // not admitted in time
  std::uint64_t failures = 0;  // of other kinds
  std::uint64_t told_to_wait = 0;
};

// A control connection of a member that stores no list.
class Light {
 public:
  struct Outputs {
    Bytes to_send;
    std::optional<wire::Welcome> welcome;
    bool refused = false;
    std::optional<Duration> wait;  // told to return after this
  };
  Light(const crypto::KeyPair& self, const control::NetworkKey& key, std::string name, bool enrolled,
        Duration ping_after, Rng& rng)
      : key_(key),
        name_(std::move(name)),
        enrolled_(enrolled),
        ping_after_(ping_after),
        handshake_(self, key.server, as_view(control::kPrologue), rng) {}

  // The version of the records that the member would hold, and their root.
  std::uint64_t known = 0;
  crypto::Hash root{};

  Outputs start(Instant now) {
    started_ = last_received_ = last_sent_ = now;
    const auto purpose = enrolled_ ? control::Purpose::member : control::Purpose::first_join;
    const std::array payload = {std::byte{control::kVersion}, static_cast<std::byte>(purpose), control::kMayWait};
    Bytes message;
    Outputs out;
    EPS_CHECK(handshake_.write_initiation(payload, message));
    control::Channel::put_frame(message, out.to_send);
    return out;
  }
  Outputs on_bytes(ByteView bytes, Instant now) {
    Outputs out;
    while (const auto frame = channel_.next_frame(bytes)) {
      if (!channel_.transport()) {
        if ((out.wait = control::parse_busy(*frame))) {
          out.refused = true;
          return out;
        }
        const auto done =
            handshake_.read_response(*frame, enrolled_ ? crypto::Key() : control::enrolment_psk(key_.enrolment.view()));
        if (!done) {
          out.refused = true;
          return out;
        }
        channel_.begin_transport(done->keys, true);
        send(wire::Hello{name_, "0.2.0", known, false, kOwnFeatures, root}, out, now);
        continue;
      }
      const auto plain = channel_.open(*frame);
      if (!plain) {
        out.refused = true;
        return out;
      }
      last_received_ = now;
      if (plain->size() > kReadUpTo) continue;
      auto message = wire::decode(*plain);
      EPS_CHECK(message.has_value());
      if (auto* welcome = std::get_if<wire::Welcome>(&*message)) {
        welcomed_ = true;
        out.welcome = std::move(*welcome);
        send(
            wire::Candidates{
                {{Candidate::Kind::local, {IpAddress::from_v4({0x0a000000U + out.welcome->self.id.value}), 4000}},
                 {Candidate::Kind::mapped, {IpAddress::from_v4({0x08000000U + out.welcome->self.id.value}), 4000}}}},
            out, now);
      } else if (std::holds_alternative<wire::Refused>(*message)) {
        out.refused = true;
      } else if (const auto* delta = std::get_if<wire::MemberDelta>(&*message)) {
        if (delta->last) known = delta->delta.to;
      } else if (const auto* records = std::get_if<wire::Records>(&*message)) {
        if (!records->last) continue;
        known = records->delta.to;
        root = records->root;
      }
    }
    return out;
  }
  Outputs on_deadline(Instant now, bool& timed_out) {
    Outputs out;
    timed_out = !welcomed_ && now >= started_ + control::kAdmitWithin;
    if (welcomed_ && now >= ping_at()) send(wire::Ping{}, out, now);
    return out;
  }
  Instant next_deadline() const { return welcomed_ ? ping_at() : started_ + control::kAdmitWithin; }

 private:
  Instant ping_at() const { return last_sent_ + ping_after_; }
  void send(const wire::ControlMessage& message, Outputs& out, Instant now) {
    last_sent_ = now;
    channel_.seal(wire::encode(message), out.to_send);
  }
  const control::NetworkKey& key_;
  std::string name_;
  bool enrolled_;
  Duration ping_after_;
  noise::Initiator handshake_;
  control::Channel channel_;
  bool welcomed_ = false;
  Instant started_{}, last_sent_{}, last_received_{};
};

struct MemberEnd {
  std::size_t number = 0;
  crypto::KeyPair keys;
  bool enrolled = false;
  bool wanted = false;  // it should be connected
  bool welcomed = false;
  int fd = -1;
  bool connecting = false;
  int failures = 0;
  Instant act_at = kNever;
  MemberList held;                                      // of a whole one
  std::optional<control::ClientConnection> connection;  // of a whole one
  std::optional<Light> light;                           // of the others
  std::uint64_t known = 0;                              // version of the list that it was last told
  crypto::Hash root{};
  Bytes backlog;
  MemberId id;
  Bytes bind_key;
  std::uint64_t bind_number = 0;
  Instant bind_at = kNever;
  std::uint32_t address() const { return 0x7f000000U + 0x00010000U + static_cast<std::uint32_t>(number); }
};

class Load {
 public:
  Load(std::uint16_t port, control::NetworkKey key, std::size_t n) : port_(port), key_(std::move(key)) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    udp_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(kDataPort);
    EPS_CHECK(bind(udp_, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
    add(n);
  }

  void add(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      MemberEnd& m = members_.emplace_back();
      m.number = members_.size();
      m.keys = crypto::generate_key_pair(rng_);
    }
  }

  // All of them should be connected from now on.
  void connect_all() {
    const Instant now = os::now();
    for (MemberEnd& m : members_) {
      if (std::exchange(m.wanted, true)) continue;
      schedule(m, now);
    }
  }

  bool all_in() const { return welcomed_ == members_.size(); }
  // Members with the list have all members in it, online.
  bool lists_complete() const {
    for (const MemberEnd& m : members_) {
      if (!whole(m)) continue;
      if (!m.connection || m.connection->members().members().size() != members_.size()) return false;
      const auto online = [](const auto& entry) { return entry.second.online; };
      if (!std::ranges::all_of(m.connection->members().members(), online)) return false;
    }
    return true;
  }
  // Members in the shortest of the stored lists.
  std::size_t members_in_whole_lists() const {
    std::size_t out = size();
    for (const MemberEnd& m : members_) {
      if (whole(m)) out = std::min(out, m.connection ? m.connection->members().members().size() : 0);
    }
    return out;
  }
  // The oldest version of the stored lists.
  std::uint64_t version_with_all() const {
    std::uint64_t out = ~std::uint64_t{0};
    for (const MemberEnd& m : members_) {
      if (whole(m) && m.connection) out = std::min(out, m.connection->members().version());
    }
    return out;
  }
  bool all_know(std::uint64_t version) const {
    return std::ranges::all_of(members_, [&](const MemberEnd& m) { return m.known >= version; });
  }

  // Waits until the condition holds or the time is over; returns whether it holds.
  bool run(const std::function<bool()>& condition, Duration limit) {
    const Instant end = os::now() + limit;
    Instant look = os::now();
    for (;;) {
      step();
      const Instant now = os::now();
      if (now < look) continue;
      if (condition()) return true;
      if (now > end) return false;
      look = now + std::chrono::milliseconds(members_.size() > 1000 ? 20 : 2);
    }
  }

  Totals totals;
  std::size_t size() const { return members_.size(); }
  std::size_t welcomed() const { return welcomed_; }

 private:
  static bool whole(const MemberEnd& m) { return m.number % kWholeEvery == 1; }

  void schedule(MemberEnd& m, Instant at) {
    m.act_at = at;
    timers_.push({at, m.number});
  }

  void step() {
    std::array<epoll_event, 512> events;
    const Instant now = os::now();
    const int wait = timers_.empty()
                         ? 20
                         : static_cast<int>(std::clamp<std::int64_t>(
                               std::chrono::ceil<std::chrono::milliseconds>(timers_.top().first - now).count(), 0, 20));
    const int n = epoll_wait(epoll_, events.data(), events.size(), wait);
    for (int i = 0; i < n; ++i)
      on_ready(members_[events[static_cast<std::size_t>(i)].data.u64 - 1], events[static_cast<std::size_t>(i)].events);
    std::array<std::byte, 2048> datagram;
    while (recv(udp_, datagram.data(), datagram.size(), 0) > 0) {
    }
    while (!timers_.empty() && timers_.top().first <= os::now()) {
      const auto [at, number] = timers_.top();
      timers_.pop();
      MemberEnd& m = members_[number - 1];
      if (m.act_at == at) on_timer(m);
    }
  }

  void on_timer(MemberEnd& m) {
    const Instant now = os::now();
    m.act_at = kNever;
    if (!m.wanted) return;
    if (m.fd < 0) return dial(m, now);
    if (m.connecting) return lost(m, {}, now);
    if (m.connection && now >= m.connection->next_deadline()) {
      if (!m.welcomed) ++totals.timeouts;
      take(m, m.connection->on_deadline(now), now);
    } else if (m.light && now >= m.light->next_deadline()) {
      bool timed_out = false;
      take(m, m.light->on_deadline(now, timed_out), now);
      if (timed_out) {
        ++totals.timeouts;
        return lost(m, {}, now);
      }
    }
    if (m.fd >= 0 && now >= m.bind_at) send_bind(m, now);
    if (m.fd >= 0) rearm(m);
  }
  void rearm(MemberEnd& m) {
    const Instant at = std::min(m.connection ? m.connection->next_deadline() : m.light->next_deadline(), m.bind_at);
    if (m.act_at == kNever || at < m.act_at) schedule(m, at);
  }

  void dial(MemberEnd& m, Instant now) {
    m.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EPS_CHECK(m.fd >= 0);
    const int one = 1;
    setsockopt(m.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(m.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    sockaddr_in from{}, to{};
    from.sin_family = to.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(m.address());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    EPS_CHECK(bind(m.fd, reinterpret_cast<sockaddr*>(&from), sizeof from) == 0);
    m.connecting = true;
    epoll_event event{.events = EPOLLIN | EPOLLOUT, .data = {.u64 = m.number}};
    const int r = connect(m.fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
    if (r < 0 && errno != EINPROGRESS) return lost(m, {}, now);
    epoll_ctl(epoll_, EPOLL_CTL_ADD, m.fd, &event);
    // eps-client gives up a dial after 15 s.
    schedule(m, now + std::chrono::seconds(15));
  }

  void on_ready(MemberEnd& m, std::uint32_t events) {
    const Instant now = os::now();
    if (m.fd < 0) return;
    if (m.connecting) {
      int error = 0;
      socklen_t size = sizeof error;
      getsockopt(m.fd, SOL_SOCKET, SO_ERROR, &error, &size);
      if (error != 0) return lost(m, {}, now);
      if ((events & EPOLLOUT) == 0) return;
      m.connecting = false;
      m.act_at = kNever;
      watch(m, EPOLLIN);
      begin(m, now);
      return;
    }
    if ((events & EPOLLOUT) != 0) flush(m);
    static std::array<std::byte, 256 * 1024> buffer;
    const ssize_t n = recv(m.fd, buffer.data(), buffer.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return lost(m, {}, now);
    totals.bytes_received += static_cast<std::uint64_t>(n);
    const ByteView bytes = ByteView(buffer).first(static_cast<std::size_t>(n));
    m.connection ? take(m, m.connection->on_bytes(bytes, now), now) : take(m, m.light->on_bytes(bytes, now), now);
    if (m.fd >= 0) rearm(m);
  }

  void begin(MemberEnd& m, Instant now) {
    const std::string name = "host-" + std::to_string(m.number);
    const Duration ping_after = members_.size() > node::kLargeNetwork ? control::kSparsePings : control::kPingAfter;
    if (whole(m)) {
      control::ClientParams params{m.keys.clone(), key_.clone(), name, "0.2.0"};
      params.enrolled = m.enrolled;
      m.connection.emplace(std::move(params), m.held, rng_);
      m.connection->set_ping_after(ping_after);
      take(m, m.connection->start(now), now);
    } else {
      m.light.emplace(m.keys, key_, name, m.enrolled, ping_after, rng_);
      m.light->known = m.known;
      m.light->root = m.root;
      take(m, m.light->start(now), now);
    }
    if (m.fd >= 0) rearm(m);
  }

  void take(MemberEnd& m, control::ClientConnection::Outputs out, Instant now) {
    send(m, std::move(out.to_send));
    std::optional<Duration> wait;
    for (control::ClientEvent& event : out.events) {
      if (std::holds_alternative<control::Proved>(event)) {
        take(m, m.connection->say_hello(m.held, now), now);
      } else if (auto* welcome = std::get_if<control::Welcomed>(&event)) {
        on_welcome(m, welcome->self.id, welcome->bind_key.view(), now);
        const auto announced = m.connection->announce(
            {{Candidate::Kind::local, {IpAddress::from_v4({0x0a000000U + m.id.value}), 4000}}}, now);
        send(m, announced.to_send);
      } else if (std::holds_alternative<control::ListChanged>(event)) {
        m.known = m.connection->members().version();
      } else if (const auto* refused = std::get_if<control::Refused>(&event)) {
        wait = refused->come_back;
      }
    }
    if (out.close) lost(m, wait, now);
  }
  void take(MemberEnd& m, Light::Outputs out, Instant now) {
    send(m, std::move(out.to_send));
    if (out.welcome) on_welcome(m, out.welcome->self.id, out.welcome->bind_key, now);
    m.known = m.light->known;
    m.root = m.light->root;
    if (out.refused) lost(m, out.wait, now);
  }

  void on_welcome(MemberEnd& m, MemberId id, ByteView bind_key, Instant now) {
    m.welcomed = m.enrolled = true;
    ++welcomed_;
    m.failures = 0;
    m.id = id;
    m.bind_key.assign(bind_key.begin(), bind_key.end());
    m.bind_number = 0;
    send_bind(m, now);
  }

  // All through one socket, each from its member's own address.
  void send_bind(MemberEnd& m, Instant now) {
    auto request = wire::make_bind_request({m.id, ++m.bind_number, false, false});
    const auto mac = crypto::mac16(m.bind_key, {ByteView(request).first(request.size() - wire::kMacSize)});
    std::copy(mac.begin(), mac.end(), request.end() - wire::kMacSize);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in_pktinfo))> control{};
    iovec data{request.data(), request.size()};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP;
    head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo source{};
    source.ipi_spec_dst.s_addr = htonl(m.address());
    std::memcpy(CMSG_DATA(head), &source, sizeof source);
    (void)sendmsg(udp_, &message, 0);
    m.bind_at = now + node::kBindKeepalive;
  }

  void send(MemberEnd& m, Bytes bytes) {
    m.backlog.insert(m.backlog.end(), bytes.begin(), bytes.end());
    flush(m);
  }
  void flush(MemberEnd& m) {
    if (m.fd < 0 || m.backlog.empty()) return;
    const ssize_t n = ::send(m.fd, m.backlog.data(), m.backlog.size(), MSG_NOSIGNAL);
    if (n > 0) m.backlog.erase(m.backlog.begin(), m.backlog.begin() + n);
    watch(m, m.backlog.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }
  void watch(MemberEnd& m, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.u64 = m.number}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, m.fd, &event);
  }

  // The connection has ended; the next is dialled after the pause that eps-client makes.
  void lost(MemberEnd& m, std::optional<Duration> wait, Instant now) {
    close(m.fd);
    m.fd = -1;
    if (m.connection) m.held = m.connection->members();
    m.connection.reset();
    m.light.reset();
    m.backlog.clear();
    m.bind_at = kNever;
    if (std::exchange(m.welcomed, false)) {
      --welcomed_;
    } else if (!wait) {
      ++totals.failures;
    }
    const auto step = std::min<std::size_t>(static_cast<std::size_t>(m.failures), node::kReconnect.size() - 1);
    const Duration pause = wait ? *wait : node::kReconnect[step];
    if (wait) {
      ++totals.told_to_wait;
    } else {
      ++m.failures;
    }
    schedule(m,
             now + pause +
                 Duration(static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(pause.count() / 2 + 1)))));
  }

  std::uint16_t port_;
  control::NetworkKey key_;
  os::OsRng rng_;
  std::deque<MemberEnd> members_;
  std::size_t welcomed_ = 0;
  int epoll_ = -1;
  int udp_ = -1;
  using Timer = std::pair<Instant, std::size_t>;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

std::string answer(bool ok, Duration took, const Load& load) {
  return "{\"ok\": " + std::string(ok ? "true" : "false") + ", \"s\": " + std::to_string(seconds(took)) +
         ", \"in\": " + std::to_string(load.welcomed()) + ", \"bytes\": " + std::to_string(load.totals.bytes_received) +
         ", \"timeouts\": " + std::to_string(load.totals.timeouts) +
         ", \"failures\": " + std::to_string(load.totals.failures) +
         ", \"told_to_wait\": " + std::to_string(load.totals.told_to_wait) + "}";
}

int run(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: scale_load PORT KEY_FILE N LIMIT_SECONDS\n";
    return 2;
  }
  rlimit limit{1 << 16, 1 << 16};
  setrlimit(RLIMIT_NOFILE, &limit);
  std::string key_text;
  {
    FILE* file = std::fopen(argv[2], "re");
    std::array<char, 256> line{};
    if (file == nullptr || std::fgets(line.data(), line.size(), file) == nullptr) return 2;
    std::fclose(file);
    key_text = line.data();
    while (key_text.ends_with('\n')) key_text.pop_back();
  }
  auto key = control::parse_network_key(key_text);
  if (!key) {
    std::cerr << key.error().what << "\n";
    return 2;
  }
  Load load(static_cast<std::uint16_t>(std::stoi(argv[1])), std::move(*key),
            static_cast<std::size_t>(std::stoul(argv[3])));
  const Duration patience = std::chrono::seconds(std::stoi(argv[4]));
  fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  std::string pending;
  for (;;) {
    // Returns a line, while the connections stay alive.
    std::string command;
    bool ended = false;
    (void)load.run(
        [&] {
          std::array<char, 64> in{};
          const ssize_t n = read(STDIN_FILENO, in.data(), in.size());
          if (n == 0) ended = true;
          if (n > 0) pending.append(in.data(), static_cast<std::size_t>(n));
          const auto end = pending.find('\n');
          if (end == std::string::npos) return ended;
          command = pending.substr(0, end);
          pending.erase(0, end + 1);
          return true;
        },
        std::chrono::hours(24));
    if (ended) return 0;
    const Instant began = os::now();
    bool ok = false;
    if (command == "join") {  // all join, and the lists are complete
      load.connect_all();
      ok = load.run([&] { return load.all_in(); }, patience);
      if (ok) std::cout << answer(ok, os::now() - began, load) << std::endl;
      ok = ok && load.run([&] { return load.lists_complete(); }, patience);
    } else if (command == "lost") {  // all see that the server is gone
      ok = load.run([&] { return load.welcomed() == 0; }, std::chrono::seconds(30));
    } else if (command == "back") {  // all come back, and the lists are complete
      ok = load.run([&] { return load.all_in(); }, patience);
      if (ok) std::cout << answer(ok, os::now() - began, load) << std::endl;
      ok = ok && load.run([&] { return load.lists_complete(); }, patience);
    } else if (command == "change") {  // one more joins, and all hear of it
      load.add(1);
      load.connect_all();
      ok = load.run([&] { return load.all_in() && load.members_in_whole_lists() == load.size(); }, patience) &&
           load.run([&] { return load.all_know(load.version_with_all()); }, patience);
    } else if (command == "totals") {
      ok = true;
    }
    std::cout << answer(ok, os::now() - began, load) << std::endl;
  }
}

}  // namespace
}  // namespace eps

int main(int argc, char** argv) {
  return eps::run(argc, argv);
}
