// SPDX-License-Identifier: MIT

// The server daemon. Control thread: Asio, node::ServerNode, SQLite, the status socket. Workers: the relay.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "dataplane/relay.h"
#include "model/accepted_networks.h"
#include "node/server_node.h"
#include "os/interfaces.h"
#include "os/port_mapper.h"
#include "os/underlay_routes.h"
#include "report/member_table.h"
#include "report/status_json.h"
#include "report/text.h"
#include "runtime/client_streams.h"
#include "runtime/data_plane.h"
#include "runtime/foundation.h"
#include "runtime/http_pages.h"
#include "runtime/network_graph.h"
#include "runtime/network_watch.h"
#include "runtime/reporter.h"
#include "runtime/run.h"
#include "runtime/server_commands.h"
#include "runtime/server_ports.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr auto kLookForExpired = std::chrono::seconds(30);
// After the first change; those that follow until then are settled with it.
constexpr auto kSettleStoreAfter = std::chrono::seconds(1);
constexpr std::int64_t kDay = 24 * 3600;
constexpr auto kKeepLastSeen = std::chrono::minutes(10);  // between two writes
constexpr auto kCrowdedFor = std::chrono::minutes(1);     // who is turned away tries again within that time
constexpr const char* kCrowded =
    "Connections of members are turned away: the descriptors of eps-server are used up. Let it have more: LimitNOFILE= "
    "in its unit, or ulimit -n.";

constexpr std::size_t kManyPairs = 10'000;  // copying them takes several milliseconds

OffloadStatus udp_offloads(const ServerSettings& settings, const os::LinuxUdp& udp) {
  const OffloadSet wish = settings.offload.value_or(OffloadSet());
  return offload_status({false, false, false, wish.gso, wish.gro}, {false, false, false, udp.gso(), udp.gro()});
}

class ServerDaemon {
 public:
  // `base` outlives it.
  ServerDaemon(Foundation<ServerSettings>& base, ServerPorts ports) : base_(base), ports_(std::move(ports)) {
    ports_.reports.socket->start([this](const nlohmann::json& request) { return commands_(request); });
    if (ports_.reports.http) ports_.reports.http->start(pages());
  }
  ~ServerDaemon() { data_.stop(); }  // the workers use what is destroyed next
  ServerDaemon(const ServerDaemon&) = delete;
  ServerDaemon& operator=(const ServerDaemon&) = delete;

  Result<int> run() {
    // The capabilities were for buffer sizes and ports below 1024: all sockets are open now. The workers start with the
    // remaining ones.
    base_.privileges.give_up(log_, false, {settings_.graphviz.value_or("")});
    tell_missing(log_, settings_, offloads_);
    log_.info(listening() + " for the network " + to_string(settings_.network) + "; " +
              report::counted(registry().members().size(), "member") + " enrolled.");
    const NetworkInfo network{.id = {}, .network = settings_.network, .network6 = settings_.network6};
    if (not_accepted(private_networks(), network)) {
      log_.warn(
          "Clients refuse a network of public addresses unless their configuration has the line \"accept-network = " +
          accepting(network) + "\".");
    }
    if (settings_.mtu < kMinIp6Mtu) {
      log_.warn("With --mtu " + std::to_string(settings_.mtu) + " there is no IPv6 inside the network, which needs " +
                std::to_string(kMinIp6Mtu) + ". The default suits any path: larger frames are cut to its size.");
    }
    if (auto ok = start_workers(); !ok) return ok.error();
    for (const auto& listener : ports_.listeners) {
      listener->start([this](tcp::socket socket) { adopt(std::move(socket)); });
    }
    act({});
    start_mapper();
    if (auto ok = watch_network(); !ok) log_.warn(ok.error().what);
    reporter_.apply(settings_);
    graph_.apply(settings_);
    service_.state(listening());
    ports_.store->on_unsettled([this] { settle_timer_.arm(os::now() + kSettleStoreAfter); });
    settle_store();
    keep_last_seen();
    expire_members();
    const int code = loop_.run();
    keep_last_seen();
    service_.stopping();
    mapper_.reset();
    data_.stop();
    return code;
  }

 private:
  std::string listening() const {
    return "Listening on TCP and UDP port " + std::to_string(settings_.port) +
           (settings_.also_port == 0 ? "" : " and on TCP port " + std::to_string(settings_.also_port));
  }
  registry::Registry& registry() const { return *ports_.registry; }
  Result<void> start_workers();
  void start_mapper();
  Result<void> watch_network();
  void look_at_network();
  Reporter::Sources sources();
  HttpPages pages();
  ServerCommands::Daemon for_commands();
  void adopt(tcp::socket socket);
  void turn_away();
  bool crowded() const { return turned_away_at_ && os::now() - *turned_away_at_ < kCrowdedFor; }
  void act(node::ServerOutputs&& out);
  void relay_streams();
  void relay_stream(control::ConnId id);
  ServerStatus status() const;
  void keep_last_seen();
  void expire_members();
  void settle_store();
  void ask_members();
  Result<std::string> reload(const ConfText& conf);

  Foundation<ServerSettings>& base_;
  const ServerSettings& settings_ = base_.settings;
  ops::Log& log_ = base_.log;
  ControlLoop& loop_ = base_.loop;
  Service& service_ = base_.service;
  ServerPorts ports_;
  dataplane::PublishedRelay published_;
  DataPlane data_{loop_.io(),
                  std::move(ports_.udp),
                  {[this](const std::vector<dataplane::Upcall>& upcalls) { act(node_.on_upcalls(upcalls, os::now())); },
                   [this] { relay_streams(); }}};
  const OffloadStatus offloads_ = udp_offloads(settings_, data_.udp());
  node::ServerNode node_{
      registry(),
      {settings_.version, settings_.port, settings_.also_port, offloads_, unix_time, settings_.relay_limit},
      data_.port(),
      base_.rng,
      published_,
      os::now()};
  ClientStreams streams_;
  std::optional<os::NetlinkSocket> netlink_;
  std::optional<NetworkWatch> network_watch_;
  os::LinuxUdp::Interfaces interfaces_;
  std::vector<IpAddress> addresses_;
  std::optional<os::PortMapper> mapper_;
  std::vector<PortMapping> port_mappings_;
  Reporter reporter_{loop_.io(), base_.background, log_, sources()};
  NetworkGraph graph_{loop_.io(), base_.background, log_, [this] { return status(); },
                      [this] { return node_.pairs(); }};
  std::string keep_failure_, expiry_failure_;  // the last ones logged
  std::optional<Instant> turned_away_at_;
  DeadlineTimer seen_timer_{loop_.io(), [this] { keep_last_seen(); }};
  DeadlineTimer expiry_timer_{loop_.io(), [this] { expire_members(); }};
  DeadlineTimer settle_timer_{loop_.io(), [this] { settle_store(); }};
  ServerCommands commands_{for_commands()};
  SignalWatch hangups_{loop_.io(), SIGHUP, [this] {
                         registry().set_actor({"SIGHUP", unix_time()});
                         (void)reload({});
                       }};
  SignalWatch asked_{loop_.io(), SIGUSR1, [this] { log_.info(report::member_table(registry().members())); }};
};

Result<void> ServerDaemon::start_workers() {
  return data_.start(node_.counters(), [this](std::size_t, ports::UdpPort& port) {
    auto relay = std::make_shared<dataplane::Relay>(port, node_.counters());
    auto view = std::make_shared<dataplane::PublishedRelay::View>();
    return DataPlane::Task{[this, relay, view](Instant now, dataplane::Upcalls& upcalls) {
                             return relay->pump(published_, *view, now, upcalls);
                           },
                           {}};
  });
}

ServerCommands::Daemon ServerDaemon::for_commands() {
  return {registry(),
          node_,
          graph_,
          log_,
          [this](node::ServerOutputs&& out) { act(std::move(out)); },
          [this] { return status(); },
          [this] { ask_members(); },
          [this](const ConfText& conf) { return reload(conf); },
          [this](const std::string& text) { return keep_network_key(settings_, text); }};
}

HttpPages ServerDaemon::pages() {
  HttpPages out;
  out.ailment = [] { return ""; };  // it answers
  out.figures = [this] { return [s = status(), at = unix_time()] { return report::figures_of(s, std::nullopt, at); }; };
  out.network = [this] { return [s = status()] { return report::to_json(s); }; };
  out.graph = [this] { return graph_.text(); };
  return out;
}

Reporter::Sources ServerDaemon::sources() {
  Reporter::Sources out;
  out.totals = [this] {
    const auto [traffic, connections] = node_.totals();
    return report::Totals{traffic, connections};
  };
  out.figures = [this](const report::Passed& passed, std::int64_t unix_time) {
    return [s = status(), passed, unix_time] { return report::figures_of(s, passed, unix_time); };
  };
  out.after = [this] { ask_members(); };
  return out;
}

void ServerDaemon::start_mapper() {
  if (settings_.upnp_timeout.count() == 0) return;
  os::PortMapperOptions options;
  options.ports = {{Transport::tcp, settings_.port}, {Transport::udp, settings_.port}};
  if (settings_.also_port != 0) options.ports.push_back({Transport::tcp, settings_.also_port});
  options.same_port = true;  // the one announced to clients
  options.timeout = settings_.upnp_timeout;
  mapper_.emplace(std::move(options), [this](os::PortMapper::Report report) {
    boost::asio::post(loop_.io(), [this, r = std::move(report)]() mutable {
      if (!r.note.empty()) log_.info(r.note);
      port_mappings_ = std::move(r.mappings);
    });
  });
}

// Which interfaces lead outside and which into EPS itself, if a client runs on this computer as well.
Result<void> ServerDaemon::watch_network() {
  auto netlink = os::NetlinkSocket::open();
  if (!netlink) return netlink.error();
  netlink_.emplace(std::move(*netlink));
  auto monitor = os::AddressMonitor::open();
  if (!monitor) return monitor.error();
  network_watch_.emplace(loop_.io(), std::move(*monitor), [this] { look_at_network(); });
  look_at_network();
  return {};
}

void ServerDaemon::look_at_network() {
  if (mapper_) mapper_->network_changed();
  const auto kernel = os::look_at_kernel(*netlink_);
  if (!kernel) return;  // until the next change
  const std::set<int> inside = os::inside_interfaces(*kernel, os::kEpsGroup, 0);
  const std::vector<int> out = os::uplinks(*kernel, inside);
  os::LinuxUdp::Interfaces interfaces{{inside.begin(), inside.end()}, {out.begin(), out.end()}};
  std::vector<IpAddress> addresses;
  for (const os::InterfaceAddress& address : kernel->addresses) addresses.push_back(address.address);
  if (interfaces == interfaces_ && addresses == addresses_) return;
  // A container that starts brings addresses of its own; those that the members were answered from stay as they are.
  const bool rerouted = interfaces.uplinks != interfaces_.uplinks;
  interfaces_ = std::move(interfaces);
  addresses_ = std::move(addresses);
  data_.udp().set_interfaces(interfaces_);
  data_.udp().forget_local_addresses(rerouted ? std::span<const IpAddress>() : addresses_);
}

void ServerDaemon::turn_away() {
  if (!crowded()) log_.warn(kCrowded);
  turned_away_at_ = os::now();
}

void ServerDaemon::adopt(tcp::socket socket) {
  if (descriptors_are_few(socket.native_handle())) return turn_away();
  ErrorCode gone;
  const Endpoint from = to_endpoint(socket.remote_endpoint(gone));
  const std::uint16_t port = gone ? 0 : socket.local_endpoint(gone).port();
  if (gone) return;
  const control::ConnId id = streams_.add(std::move(socket), tls_at(port, settings_));
  act(node_.on_open(id, from, os::now()));
  if (!streams_.contains(id)) return;
  streams_.start(
      id, {[this, id](ByteView bytes) { act(node_.on_bytes(id, bytes, os::now())); },
           [this, id](const std::string&) { act(node_.on_closed(id, os::now())); }, [this, id] { relay_stream(id); }});
}

// Something waits to be relayed inside control connections.
void ServerDaemon::relay_streams() {
  for (const control::ConnId id : node_.streams_waiting(os::now())) relay_stream(id);
}

void ServerDaemon::relay_stream(control::ConnId id) {
  const auto backlog = streams_.backlog(id);
  if (!backlog || *backlog >= kStreamRoom || !node_.stream_waits(id)) return;
  act(node_.on_stream_room(id, kStreamRoom - *backlog, os::now()));
}

void ServerDaemon::act(node::ServerOutputs&& out) {
  for (const std::string& note : out.notes) log_.info(note);
  for (auto& [id, bytes] : out.to_send) streams_.send(id, std::move(bytes));
  for (const control::ConnId id : out.to_close) streams_.close(id);
  if (const auto ended = streams_.enforce_limit()) log_.warn(*ended);
  loop_.wake_at(node_.next_deadline(), [this] { act(node_.on_deadline(os::now())); });
}

// After a crash it is at most this old.
void ServerDaemon::keep_last_seen() {
  const auto kept = node_.keep_last_seen(os::now());
  const std::string failure = kept ? "" : kept.error().what;
  if (!failure.empty() && failure != keep_failure_)
    log_.warn("The times when members were last seen cannot be saved: " + failure);
  keep_failure_ = failure;
  seen_timer_.arm(os::now() + kKeepLastSeen);
}

void ServerDaemon::expire_members() {
  auto expired = node_.expire(settings_.expire_after * kDay, os::now());
  const std::string failure = expired ? "" : expired.error().what;
  if (!failure.empty() && failure != expiry_failure_)
    log_.warn("Members that were away too long cannot be removed: " + failure);
  expiry_failure_ = failure;
  if (expired) act(std::move(*expired));
  expiry_timer_.arm(os::now() + kLookForExpired);
}

void ServerDaemon::settle_store() {
  if (!ports_.store->settle()) settle_timer_.arm(os::now() + kSettleStoreAfter);
}

// Their counters. The answers arrive long before the next interval ends.
void ServerDaemon::ask_members() {
  graph_.before_reports(node_.pairs_told() > kManyPairs);
  act(node_.request_reports(os::now()));
}

ServerStatus ServerDaemon::status() const {
  ServerStatus out = node_.status(os::now());
  out.port_mappings = port_mappings_;
  if (!ports_.store->failure().empty()) {
    out.troubles.push_back(
        "Nobody can join or be removed; the last change could not be saved: " + ports_.store->failure() + ".");
  }
  if (crowded()) out.troubles.emplace_back(kCrowded);
  out.troubles.insert(out.troubles.end(), {log_.failure(), reporter_.failure(), graph_.failure()});
  std::erase(out.troubles, "");
  return out;
}

Result<std::string> ServerDaemon::reload(const ConfText& conf) {
  auto note = base_.reload(conf, [this](const ServerSettings& fresh) {
    reporter_.apply(fresh);
    graph_.apply(fresh);
    node_.set_relay_limit(fresh.relay_limit);
  });
  if (auto kept = registry().note_act("reload", note ? *note : note.error().what); !kept) log_.warn(kept.error().what);
  return note;
}

}  // namespace

int run_server(const ServerSettings& settings, ops::Log& log, const ReadSettings<ServerSettings>& read_again,
               const std::function<void(const std::string& key)>& on_key) {
  return run_to_end(log, "eps-server", [&]() -> Result<int> {
    Foundation<ServerSettings> base(settings, log, read_again, "server");
    auto ports = ServerPorts::open(base, on_key);
    if (!ports) return ports.error();
    return ServerDaemon(base, std::move(*ports)).run();
  });
}

}  // namespace eps::runtime
