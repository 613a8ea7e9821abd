// SPDX-License-Identifier: MIT
#pragma once

// A server and N clients, running the daemons' own code, on a simulated underlay. After every event the invariants are
// checked; a violation throws with the seed in its text.
//
//   no two datagrams of one session carry the same counter (no nonce twice)
//   no inner byte is on the wire in clear
//   a frame is delivered to the member it was sent to, at most once, and unchanged
//   no address or MAC belongs to two members
//   no node sets its timer to a past time, over and over
//   no idle worker holds an old table
//
// Every daemon has its real threads: control, and workers with a queue, a view of the published table and a mailbox
// each. With WorldOptions::threads they delay each other: any call of a port may take a while, in which the others run,
// and mailboxes are emptied late and in any order. The seed decides that as well.

#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "node/client_node.h"
#include "node/server_node.h"
#include "sim/network.h"
#include "sim/thread.h"
#include "support/memory_store.h"
#include "support/seeded_rng.h"

namespace eps::sim {

// A queue of the TAP of a simulated client: frames go in and out as whole packets.
class SimTap final : public ports::TapPort {
 public:
  std::size_t read(std::span<ports::TapFrame> out) override;
  std::size_t write(std::span<const ports::TapWrite> frames) override;
  void push(Bytes frame) { outgoing.push_back(std::move(frame)); }
  std::function<void(Bytes frame)> on_frame;
  std::function<void()> on_call;  // as SimUdp::on_call

 private:
  std::vector<Bytes> outgoing;
  std::vector<Bytes> lent_;
};

// How the threads of the daemons delay each other.
struct ThreadOptions {
  int workers = 1;                    // of each daemon
  Duration late{};                    // maximum delay until control reads a mailbox
  std::uint32_t pauses = 0;           // of 1000 calls of a port
  Duration pause = Duration::zero();  // maximum length of each
  bool yielding() const { return late > Duration::zero() || pauses > 0; }
};

struct WorldOptions {
  std::uint64_t seed = 1;
  int clients = 2;
  Ip4Network network = *parse_ip4_network("192.168.43.0/24");
  bool sequential = false;
  std::uint32_t rekey_after_packets = session::kRekeyAfterPackets;
  Duration control_rekey_after = control::kRekeyAfter;
  std::set<int> relays = {};  // clients that relay for others
  ThreadOptions threads = {};
};

// Used instead of a client's number: the server.
inline constexpr int kServer = -1;

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  // Faults and their ends.
  void start_server();
  void stop_server();  // like kill -9
  void start_client(int c);
  void stop_client(int c);  // like kill -9
  bool running(int c) const { return clients_[static_cast<std::size_t>(c)].life != nullptr; }
  // Moves a client into a realm, with a new address of each family there; if it is running, its node is told at once.
  // All clients start on the Internet with IPv4.
  enum class Families { v4, v6, both };
  void place(int c, RealmId realm, Families families = Families::v4);
  // Gives a client an IPv6 address besides what it has.
  void add_ip6(int c);
  // The machine sleeps: it receives nothing, and its timers are late.
  void sleep(int c, Duration time);
  bool awake(int c) const { return running(c) && network_.wakes_at(host(c)) <= clock_.now(); }
  // Drops datagrams between the two, or everything.
  void block_udp(int a, int b, bool blocked) { network_.block_udp(host(a), host(b), blocked); }
  void limit_size(int a, int b, std::size_t bytes) { network_.limit_size(host(a), host(b), bytes); }
  void partition(int a, int b, bool cut) { network_.partition(host(a), host(b), cut); }
  // `to` gets the key of `from`, as when a disk was cloned.
  void copy_state(int from, int to);
  crypto::Key secret(int c) const { return clients_[static_cast<std::size_t>(c)].secret.clone(); }
  // Its next run has this key, of which the server is not told.
  void set_secret(int c, crypto::Key secret) { clients_[static_cast<std::size_t>(c)].secret = std::move(secret); }
  // Its next run has no stored network.
  void forget_enrolment(int c) {
    Client& k = clients_[static_cast<std::size_t>(c)];
    k.enrolled = false;
    k.kept_network.clear();
    k.kept_known.clear();
    k.kept_lock.clear();
  }
  // The server's disk.
  test::MemoryStore& store() { return server_.store; }
  // The user of a client accepts the key of a peer; returns whether it helped.
  bool trust(int c, const std::string& peer);
  // The user of a client names other servers, as far as the client knows.
  void name_servers(int c);
  // The server's administrator brings what a signer of the network lock signed.
  Result<std::string> change_lock(const LockChange& change);
  // The client's next run counts its handshakes from here, as when its state is restored from a backup.
  std::uint64_t handshake_number(int c) const { return clients_[static_cast<std::size_t>(c)].next_number; }
  void set_handshake_number(int c, std::uint64_t n) { clients_[static_cast<std::size_t>(c)].next_number = n; }
  void run_for(Duration time);
  // Runs until the condition holds; false when it did not within `limit`.
  bool run_until(const std::function<bool()>& condition, Duration limit);

  // One UDP packet from one client to another (or to all: to < 0), of `size` payload bytes; returns its number.
  std::uint64_t send_frame(int from, int to, std::size_t size = 100);
  bool delivered(std::uint64_t number, int to) const;
  // Observes every frame that a client receives.
  std::function<void(int from, int to, std::uint64_t number)> on_delivered;
  // Every running client gets a frame from every other within `limit`.
  bool everybody_talks(Duration limit);
  // Every running client is admitted, bound, and holds the newest list.
  bool all_admitted() const;
  bool all_direct() const;
  PathKind path(int from, int to) const;

  node::ClientNode& client(int c) { return *clients_[static_cast<std::size_t>(c)].life->node; }
  node::ServerNode& server() { return *server_.life->node; }
  registry::Registry& registry() { return *server_.life->registry; }
  Result<void> remove(const std::string& name);
  void request_reports();
  const std::string& fatal(int c) const { return clients_[static_cast<std::size_t>(c)].fatal; }
  HostId host(int c) const { return c == kServer ? server_.host : clients_[static_cast<std::size_t>(c)].host; }
  const IpAddress& address(int c) const { return network_.addresses(host(c)).front(); }
  Network& network() { return network_; }
  ClockQueue& clock() { return clock_; }
  Rng& rng() { return rng_; }
  std::uint64_t frames_delivered() const { return delivered_.size(); }
  // Sends these bytes as if they came from `from`.
  void inject(const Endpoint& from, const Endpoint& to, Bytes bytes);
  // Datagrams sent so far, newest last (at most several thousand are kept).
  struct Sniffed {
    Endpoint from, to;
    Bytes bytes;
  };
  const std::vector<Sniffed>& sniffed() const { return sniffed_; }

 private:
  // The state of a daemon while it runs. A thread that is inside a call when its program is killed returns from it, and
  // then does nothing more.
  struct Daemon {
    bool ended = false;
    HostId host = 0;
    std::unique_ptr<SimUdp> udp;
    std::unique_ptr<dataplane::StreamPort> port;
    SimThread control;
    Instant woken_at = kNever;
    Instant last_deadline{};
    int deadlines_now = 0;
  };
  template <class Published>
  struct Worker {
    SimThread thread;
    bool woken = false;                                   // and has not run since
    std::unique_ptr<dataplane::StreamPort::Queue> queue;  // the first worker has the port itself
    typename Published::View view;
    dataplane::Upcalls mailbox;
    std::function<std::size_t(Instant now, dataplane::Upcalls& upcalls)> pump;
  };
  struct ServerLife : Daemon {
    dataplane::PublishedRelay published;
    std::unique_ptr<registry::Registry> registry;
    std::unique_ptr<node::ServerNode> node;
    std::vector<std::unique_ptr<Worker<dataplane::PublishedRelay>>> workers;
    std::map<control::ConnId, std::shared_ptr<SimStream>> streams;
    control::ConnId next_conn = 1;
  };
  struct ClientLife : Daemon {
    int number = 0;
    dataplane::PublishedPeers published;
    std::unique_ptr<node::ClientNode> node;
    std::vector<std::unique_ptr<SimTap>> taps;
    std::vector<std::unique_ptr<Worker<dataplane::PublishedPeers>>> workers;
    std::map<control::LinkId, std::shared_ptr<SimStream>> streams;
    control::LinkId last_link = 0;
    std::uint64_t dialing = 0;  // the current attempt to connect; 0: none
    std::uint64_t dialed = 0;
  };
  using ServerPtr = std::shared_ptr<ServerLife>;
  using ClientPtr = std::shared_ptr<ClientLife>;
  struct Server {
    HostId host = 0;
    test::MemoryStore store;
    ServerPtr life;
  };
  struct Client {
    // Durable.
    HostId host = 0;
    crypto::Key secret;
    bool enrolled = false;
    Bytes kept_network;
    std::string kept_known;
    std::string kept_lock;
    std::uint64_t next_number = 1;
    std::string fatal;  // of its last run
    ClientPtr life;
  };

  bool admitted(const Client& k, bool all_states) const;
  static bool knows_states(const node::ClientNode& node, const std::map<MemberId, Member>& members, bool all);

  // Steps of a daemon's control thread.
  void act(ClientLife& k, node::ClientOutputs out);
  void act(ServerLife& s, node::ServerOutputs out);
  template <class Life>
  void control(const std::shared_ptr<Life>& life, std::function<void(Life&)> step);
  template <class Life>
  void control_soon(const std::shared_ptr<Life>& life, void (World::*step)(Life&));
  template <class Life>
  void open_port(const std::shared_ptr<Life>& life, std::uint16_t port, void (World::*relay)(Life&));
  template <class Life>
  void add_workers(const std::shared_ptr<Life>& life);
  void make_pump(ClientLife& k, std::size_t worker);
  void make_pump(ServerLife& s, std::size_t worker);
  // Lets a worker run when it is free.
  template <class Life>
  void run_worker(const std::shared_ptr<Life>& life, std::size_t worker);
  template <class Life>
  void wake(const std::shared_ptr<Life>& life, std::size_t worker);
  template <class Life>
  void deliver(const std::shared_ptr<Life>& life, std::size_t worker, dataplane::Upcalls& upcalls);
  template <class Life>
  void empty_mailbox(const std::shared_ptr<Life>& life, std::size_t worker);
  template <class Life>
  void arm(const std::shared_ptr<Life>& life);
  void arm(ClientLife& k) { arm(clients_[static_cast<std::size_t>(k.number)].life); }
  void arm(ServerLife&) { arm(server_.life); }
  void relay_stream(ClientLife& k);
  void relay_streams(ServerLife& s);
  void pause();
  void check_progress(Instant& last, int& count) const;
  void check_views(const ClientLife& life) const;
  void connect(const ClientPtr& life);
  bool is_drawn_twice(std::uint32_t index);
  void on_wire(HostId sender, const Endpoint& from, const Endpoint& to, ByteView bytes);
  void digest(ByteView what);
  void write_digest();
  void on_frame(int c, const Bytes& frame);
  void tell_addresses(int c, std::vector<IpAddress> addresses);
  void check_addresses();
  void check_address(const Member& member);
  [[noreturn]] void violated(const std::string& what) const;

  WorldOptions options_;
  test::SeededRng rng_;
  test::SeededRng threads_rng_;  // separate, so that threads without pauses change no history
  int paused_ = 0;               // threads inside a call
  ClockQueue clock_;
  Network network_;
  Server server_;
  std::string network_key_;
  std::vector<Client> clients_;
  mutable std::size_t unready_ = 0;  // the client that was last found not to be admitted
  // Whose each address and MAC is, in this version of the list.
  std::map<Ip4, MemberId> addresses_;
  std::map<Mac, MemberId> macs_;
  std::uint64_t addresses_at_ = 0;
  std::uint64_t next_frame_ = 1;
  std::set<std::pair<std::uint64_t, int>> delivered_;
  std::map<std::uint64_t, std::pair<int, int>> sent_;  // number -> from, to
  // Sender, receiver's index, counter -> the bytes' hash, and when they were sent.
  std::unordered_map<std::uint64_t, std::pair<std::size_t, Instant>> counters_seen_;
  std::vector<Sniffed> sniffed_;
  const char* digests_ = std::getenv("EPS_SIM_DIGESTS");
  std::size_t digest_ = 0;  // of everything sent and delivered, with the times
};

}  // namespace eps::sim
