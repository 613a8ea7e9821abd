// SPDX-License-Identifier: MIT

// The threads: control and workers, each with its own view and mailbox, run late and in any order.
#include "base/check.h"
#include "sim/world.h"

namespace eps::sim {
namespace {
constexpr int kMaxPaused = 4;
}

// The calling thread stops for a while; the others continue.
void World::pause() {
  const ThreadOptions& t = options_.threads;
  if (paused_ == kMaxPaused || t.pauses == 0 || threads_rng_.below(1000) >= t.pauses) return;
  ++paused_;
  const Instant until =
      clock_.now() +
      Duration(static_cast<Duration::rep>(threads_rng_.below(static_cast<std::uint64_t>(t.pause.count()))));
  while (clock_.step(until)) {
  }
  --paused_;
}

template <class Life>
void World::control(const std::shared_ptr<Life>& life, std::function<void(Life&)> step) {
  const std::shared_ptr<Life> keep = life;  // objects that the step destroys live until the thread is done with them
  keep->control.run([life = keep, step = std::move(step)] {
    if (!life->ended) step(*life);
  });
}

template <class Life>
void World::control_soon(const std::shared_ptr<Life>& life, void (World::*step)(Life&)) {
  clock_.at(clock_.now(), [this, life, step] { control<Life>(life, [this, step](Life& l) { (this->*step)(l); }); });
}

template <class Life>
void World::open_port(const std::shared_ptr<Life>& life, std::uint16_t port, void (World::*relay)(Life&)) {
  const std::weak_ptr<Life> weak = life;
  life->udp = std::make_unique<SimUdp>(network_, life->host, port);
  network_.attach(*life->udp);
  life->port = std::make_unique<dataplane::StreamPort>(
      *life->udp,
      [this, weak, relay] {
        if (const auto l = weak.lock()) control_soon(l, relay);
      },
      [this, weak] {
        if (const auto l = weak.lock()) wake(l, 0);
      });
}

void World::make_pump(ClientLife& k, std::size_t at) {
  auto& worker = *k.workers[at];
  ports::UdpPort& port = at == 0 ? static_cast<ports::UdpPort&>(*k.port) : *worker.queue;
  SimTap& tap = *k.taps.emplace_back(std::make_unique<SimTap>());
  tap.on_frame = [this, &k](Bytes frame) {
    if (!k.ended) on_frame(k.number, frame);
  };
  tap.on_call = [this] { pause(); };
  const auto outbound = std::make_shared<dataplane::Outbound>(tap, port, k.node->counters());
  const auto inbound = std::make_shared<dataplane::Inbound>(tap, port, k.node->counters(), l2::Offloads{});
  worker.pump = [&k, &worker, outbound, inbound](Instant now, dataplane::Upcalls& upcalls) {
    const std::size_t received = inbound->pump(k.published, worker.view, now, upcalls);
    return received + outbound->pump(k.published, worker.view, now, upcalls);
  };
}

void World::make_pump(ServerLife& s, std::size_t at) {
  auto& worker = *s.workers[at];
  ports::UdpPort& port = at == 0 ? static_cast<ports::UdpPort&>(*s.port) : *worker.queue;
  const auto relay = std::make_shared<dataplane::Relay>(port, s.node->counters());
  worker.pump = [&s, &worker, relay](Instant now, dataplane::Upcalls& upcalls) {
    return relay->pump(s.published, worker.view, now, upcalls);
  };
}

template <class Life>
void World::add_workers(const std::shared_ptr<Life>& life) {
  for (std::size_t w = 0; w < static_cast<std::size_t>(options_.threads.workers); ++w) {
    auto& worker =
        *life->workers.emplace_back(std::make_unique<typename decltype(life->workers)::value_type::element_type>());
    SimUdp& udp = w == 0 ? *life->udp : life->udp->add_queue();
    if (w > 0) worker.queue = std::make_unique<dataplane::StreamPort::Queue>(*life->port, udp);
    make_pump(*life, w);
    udp.on_readable = [this, w, weak = std::weak_ptr<Life>(life)] {
      if (const auto l = weak.lock()) run_worker(l, w);
    };
    udp.on_call = [this] { pause(); };
    run_worker(life, w);
  }
}

template <class Life>
void World::wake(const std::shared_ptr<Life>& life, std::size_t w) {
  if (std::exchange(life->workers[w]->woken, true)) return;
  clock_.at(clock_.now(), [this, life, w] { run_worker(life, w); });
}

// Like the daemon's worker: pump until there is nothing left, passing on upcalls after each round.
template <class Life>
void World::run_worker(const std::shared_ptr<Life>& life, std::size_t w) {
  const std::shared_ptr<Life> keep = life;
  keep->workers[w]->woken = true;
  keep->workers[w]->thread.run([this, life = keep, w] {
    auto& worker = *life->workers[w];
    worker.woken = false;
    for (std::size_t moved = 1; moved > 0 && !life->ended;) {
      dataplane::Upcalls upcalls;
      moved = worker.pump(clock_.now(), upcalls);
      deliver(life, w, upcalls);
    }
  });
}

template <class Life>
void World::deliver(const std::shared_ptr<Life>& life, std::size_t w, dataplane::Upcalls& upcalls) {
  if (upcalls.empty() || life->ended) return;
  dataplane::Upcalls& mailbox = life->workers[w]->mailbox;
  const bool was_empty = mailbox.empty();
  for (dataplane::Upcall& upcall : upcalls.take()) (void)mailbox.add(std::move(upcall));
  if (!was_empty) return;
  const auto late = static_cast<std::uint64_t>(options_.threads.late.count());
  if (late == 0) return empty_mailbox(life, w);
  clock_.in(Duration(static_cast<Duration::rep>(threads_rng_.below(late))),
            [this, life, w] { empty_mailbox(life, w); });
}

template <class Life>
void World::empty_mailbox(const std::shared_ptr<Life>& life, std::size_t w) {
  if (const Instant at = network_.wakes_at(life->host); at > clock_.now()) {
    return clock_.at(at, [this, life, w] { empty_mailbox(life, w); });
  }
  control<Life>(life, [this, w](Life& l) {
    auto upcalls = l.workers[w]->mailbox.take();
    if (!upcalls.empty()) act(l, l.node->on_upcalls(std::move(upcalls), clock_.now()));
  });
}

// An idle worker must not keep expired state.
void World::check_views(const ClientLife& life) const {
  for (const auto& worker : life.workers) {
    if (worker->woken || worker->thread.busy() || worker->view.generation == life.published.generation()) continue;
    violated("a worker without traffic holds an old table");
  }
}

template void World::control(const std::shared_ptr<ClientLife>&, std::function<void(ClientLife&)>);
template void World::control(const std::shared_ptr<ServerLife>&, std::function<void(ServerLife&)>);
template void World::open_port(const std::shared_ptr<ClientLife>&, std::uint16_t, void (World::*)(ClientLife&));
template void World::open_port(const std::shared_ptr<ServerLife>&, std::uint16_t, void (World::*)(ServerLife&));
template void World::add_workers(const std::shared_ptr<ClientLife>&);
template void World::add_workers(const std::shared_ptr<ServerLife>&);
template void World::wake(const std::shared_ptr<ClientLife>&, std::size_t);
template void World::run_worker(const std::shared_ptr<ClientLife>&, std::size_t);

}  // namespace eps::sim
